//! The OpenAPI description of the REST interface.
