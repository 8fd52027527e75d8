//! Durable records of a node: sealed shares, operations and protocol effects
