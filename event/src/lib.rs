//! The pure core: decode, normalise, validate events.
