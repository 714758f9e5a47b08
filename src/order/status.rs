//! How far an order has come, and which step may follow.

use std::fmt;
use std::str::FromStr;

use super::OrderError;

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderStatus {
    /// The customer asked for it.
    Placed,
    /// The money is there.
    Paid,
    /// It left the house.
    Shipped,
    /// Called off before it left the house.
    Cancelled,
}

impl OrderStatus {
    /// Every status, in the order in which an order meets them.
    pub const ALL: [Self; 4] = [Self::Placed, Self::Paid, Self::Shipped, Self::Cancelled];

    /// Whether an order with this status can have the other one next.
    pub fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Placed, Self::Paid | Self::Cancelled)
                | (Self::Paid, Self::Shipped | Self::Cancelled)
        )
    }

    /// Its name, in messages as well.
    pub fn name(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for OrderStatus {
    type Err = OrderError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|status| status.name() == name)
            .ok_or_else(|| OrderError::UnknownStatus {
                name: name.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_read_back_by_its_name() {
        for status in OrderStatus::ALL {
            assert_eq!(status.name().parse(), Ok(status));
        }
        assert!("Placed".parse::<OrderStatus>().is_err());
    }

    #[test]
    fn nothing_follows_shipped_and_cancelled() {
        let steps = OrderStatus::ALL
            .iter()
            .flat_map(|from| OrderStatus::ALL.map(|to| (*from, to)))
            .filter(|(from, to)| from.may_become(*to))
            .count();
        assert_eq!(steps, 4);
        for end in [OrderStatus::Shipped, OrderStatus::Cancelled] {
            assert!(!OrderStatus::ALL.iter().any(|next| end.may_become(*next)));
        }
    }
}
