//! One round in which all members of a new epoch say that their shares are durable. Spec: `spec/13-import-export.md`, steps IMP.5–IMP.6.
//!
//! An imported key is moved once before anybody may use it, and this makes the certificate of the epoch that it begins its life with. A key that
//! is in use takes another way: its members stand down first.

use alloc::vec::Vec;

use quorate_protocol::abort::{Abort, Blame, Check};
use quorate_protocol::curve::Curve;
use quorate_protocol::message::{Channel, Message, Nothing};
use quorate_protocol::per_peer::PerPeer;
use quorate_protocol::session::{BadParams, Context, Params, Received, Round, Session, Turn};

use crate::certificate::{Acknowledgement, Certificate};
use crate::share::PublicPackage;

/// Name of the protocol in session identifiers.
pub const PROTOCOL: &str = "acknowledge";

/// Broadcast of IMP.5: our share is durable.
#[derive(Clone, Copy, Debug, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Durable {
    acknowledgement: Acknowledgement,
}
impl Message for Durable {
    const STEP: &'static str = "IMP.5";
    const TAG: u16 = 0x0501;
    const CHANNEL: Channel = Channel::Broadcast;
    const MAX_LEN: usize = Acknowledgement::LEN;
}

/// Starts the round among the committee of the package. The caller guarantees that our share of it is durable, and that the session
/// identifier is unique and binds the package ([`PublicPackage::session_id`]).
///
/// # Errors
/// [`BadParams`] unless the session is among exactly the committee.
pub fn start<C: Curve>(params: Params, package: PublicPackage<C>) -> Result<Session<Certificate>, BadParams> {
    if params.committee != package.committee {
        return Err(BadParams::Unsuitable("the session is not among exactly the committee of the package"));
    }
    Session::start(params, &[], move |ctx| {
        // IMP.5  over the same hash as every acknowledgement: the certificate is good for anyone
        let acknowledgement = Acknowledgement::sign(&package, ctx.identity);
        Ok(Turn::broadcast(Await { package, own: acknowledgement }, &Durable { acknowledgement }, ctx))
    })
}

struct Await<C: Curve> {
    package: PublicPackage<C>,
    own: Acknowledgement,
}

impl<C: Curve> Round for Await<C> {
    type Broadcast = Durable;
    type Direct = Nothing;
    type Output = Certificate;
    const NAME: &'static str = "acknowledge";

    fn receive(
        self,
        inbox: PerPeer<Received<Durable, Nothing>>,
        ctx: &mut Context<'_>,
    ) -> Result<Turn<Certificate>, Abort> {
        // IMP.6  one valid acknowledgement of every member
        let mut all = Vec::from([(ctx.me, self.own)]);
        for (j, message) in inbox {
            let Durable { acknowledgement } = message.broadcast;
            if !acknowledgement.is_of(&self.package, j) {
                return Err(Abort::by(j, Check::Acknowledgement));
            }
            all.push((j, acknowledgement));
        }
        let certificate = Certificate::from_acknowledgements(&self.package, all);
        certificate.map(Turn::done).ok_or_else(|| {
            Abort::new(Check::Acknowledgement, Blame::Nobody("each acknowledgement passed its own check"))
        })
    }
}
