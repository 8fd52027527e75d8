//! What the tests of several crates share: a simulated [`World`] in which sessions run under a seed.
#![forbid(unsafe_code)]

pub mod attack;
mod structure;
pub mod timing;
pub mod world;

pub use structure::structure;
pub use world::{Fate, Outcome, Parcel, World, identity, parties};

/// Fails to compile if the type has the trait: two implementations would then both answer.
#[macro_export]
macro_rules! assert_not_impl {
    ($type:ty: $($bound:tt)+) => {
        const _: fn() = || {
            trait AmbiguousIfImplemented<A> {
                fn item() {}
            }
            impl<T: ?Sized> AmbiguousIfImplemented<()> for T {}
            struct Implemented;
            impl<T: ?Sized + $($bound)+> AmbiguousIfImplemented<Implemented> for T {}
            let _ = <$type as AmbiguousIfImplemented<_>>::item;
        };
    };
}
