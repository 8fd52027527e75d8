//! Seals and opens opaque bytes under a context
