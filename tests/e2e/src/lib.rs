//! Nothing lives here: this crate is the end-to-end tests beside it.
