//! Our signatures judged by real chains and independent verifiers
