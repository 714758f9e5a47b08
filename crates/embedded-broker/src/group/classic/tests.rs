//! A classic group, driven by hand through its cycle.
