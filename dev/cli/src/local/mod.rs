//! The developer's stack: `up`, `status`, `down`.

pub(crate) mod down;
pub(crate) mod place;
pub(crate) mod record;
pub(crate) mod status;
pub(crate) mod supervisor;
pub(crate) mod up;
