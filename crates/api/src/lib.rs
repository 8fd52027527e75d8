//! Identifiers, bounded request and response types, problem codes and the OpenAPI description
