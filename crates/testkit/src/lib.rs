//! World simulator, byzantine mutators and the local cluster that tests share
