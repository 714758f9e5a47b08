//! What each box character is made of: strokes from the middle of its cell to some of its four sides.

/// Which sides of a cell a character reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sides {
    pub(crate) up: bool,
    pub(crate) down: bool,
    pub(crate) left: bool,
    pub(crate) right: bool,
}

/// A character that is drawn, not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A plain line, a corner or a crossing.
    Line(Sides),
    /// A line with gaps.
    Dashed(Sides),
    /// The head of an arrow, with its stem on the side that it points away from.
    Head(Sides),
}

impl Mark {
    /// None for a character that is written.
    pub(crate) fn of(character: char) -> Option<Self> {
        let sides = |names: &str| Sides {
            up: names.contains('u'),
            down: names.contains('d'),
            left: names.contains('l'),
            right: names.contains('r'),
        };
        Some(match character {
            '─' => Self::Line(sides("lr")),
            '│' => Self::Line(sides("ud")),
            '┌' => Self::Line(sides("dr")),
            '┐' => Self::Line(sides("dl")),
            '└' => Self::Line(sides("ur")),
            '┘' => Self::Line(sides("ul")),
            '├' => Self::Line(sides("udr")),
            '┤' => Self::Line(sides("udl")),
            '┬' => Self::Line(sides("dlr")),
            '┴' => Self::Line(sides("ulr")),
            '┼' => Self::Line(sides("udlr")),
            '╌' => Self::Dashed(sides("lr")),
            '╎' => Self::Dashed(sides("ud")),
            '▶' => Self::Head(sides("l")),
            '◀' => Self::Head(sides("r")),
            '▲' => Self::Head(sides("d")),
            '▼' => Self::Head(sides("u")),
            _ => return None,
        })
    }

    /// The sides that the character reaches.
    pub(crate) fn sides(self) -> Sides {
        match self {
            Self::Line(sides) | Self::Dashed(sides) | Self::Head(sides) => sides,
        }
    }

    /// Whether it would be a mistake if one of its strokes met nothing: a corner or a crossing. A straight line may end
    /// anywhere.
    pub(crate) fn must_connect(self) -> bool {
        let Sides {
            up,
            down,
            left,
            right,
        } = self.sides();
        matches!(self, Self::Line(_)) && (up || down) && (left || right)
    }
}
