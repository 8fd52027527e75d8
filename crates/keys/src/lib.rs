//! Curve-generic key shares and their distributed generation
