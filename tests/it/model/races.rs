//! Two or more at the same moment, with barriers.
