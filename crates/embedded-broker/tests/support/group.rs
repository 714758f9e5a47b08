//! A member of a classic group, frame by frame.
