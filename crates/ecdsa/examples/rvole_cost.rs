//! Prints what one set-up and one multiplication cost, on both curves: medians over many runs, one thread, no network.
#![expect(clippy::print_stdout, reason = "this program exists to print")]
#![expect(clippy::expect_used, reason = "a failing measurement has nothing to report")]

use quorate_ecdsa::{
    ot_setup::{AllLeaves, PuncturedLeaves, ReceiverStart, Request, Response, sender_respond},
    rvole::{RvoleMsg1, RvoleMsg2, RvoleReceiver, RvoleSender},
};
use quorate_protocol::{
    curve::{EcdsaCurve, P256, Scalar, Secp256k1},
    rng::{Entropy, HedgedRng},
};
use std::{hint::black_box, time::Instant};

fn main() {
    measure::<Secp256k1>();
    measure::<P256>();
}

struct Timer(Vec<(&'static str, Vec<f64>)>);

impl Timer {
    fn time<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let out = black_box(work());
        let micros = start.elapsed().as_secs_f64() * 1e6;
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, samples)) => samples.push(micros),
            None => self.0.push((name, vec![micros])),
        }
        out
    }

    fn print(mut self, title: &str) {
        println!("{title}");
        let mut total = 0.0;
        for (name, samples) in &mut self.0 {
            samples.sort_by(f64::total_cmp);
            let median = samples.get(samples.len() / 2).copied().unwrap_or_default();
            total += median;
            println!("  {name:<34}{median:>10.1} µs");
        }
        println!("  {:<34}{total:>10.1} µs", "sum");
    }
}

fn setup<C: EcdsaCurve>(rng: &mut HedgedRng, timer: &mut Timer) -> (AllLeaves<C>, PuncturedLeaves<C>) {
    let ot_id = rng.bytes();
    let (start, request) = timer.time("O1, receiver", || ReceiverStart::<C>::new(&ot_id, rng));
    let bytes = borsh::to_vec(&request).expect("valid points");
    let request: Request<C> = timer.time("O1, decode", || borsh::from_slice(&bytes)).expect("own message");
    let (all, response) =
        timer.time("O2, sender", || sender_respond(&ot_id, &request, rng)).expect("honest message");
    let bytes = borsh::to_vec(&response).expect("valid points");
    let response: Response<C> = timer.time("O2, decode", || borsh::from_slice(&bytes)).expect("own message");
    let punctured = timer.time("finish, receiver", || start.finish(&response)).expect("honest message");
    (all, punctured)
}

fn measure<C: EcdsaCurve>() {
    let mut rng = HedgedRng::new(Entropy::new([1; 32]), b"", b"rvole cost");
    let mut timer = Timer(Vec::new());
    let mut pair = setup::<C>(&mut rng, &mut timer);
    for _ in 0..4 {
        pair = setup::<C>(&mut rng, &mut timer);
    }
    timer.print(&format!("{}: set-up of one direction", C::ID));

    let (all, punctured) = pair;
    let mut timer = Timer(Vec::new());
    let mut bytes = (0, 0);
    for _ in 0..500 {
        let sid = rng.bytes();
        let inputs = [Scalar::random(&mut rng), Scalar::random(&mut rng)];
        let (receiver, message) =
            timer.time("message 1, receiver", || RvoleReceiver::<C>::start(&all, &sid, 1, &mut rng));
        let encoded = borsh::to_vec(&message).expect("encodes");
        bytes.0 = encoded.len();
        let message: RvoleMsg1 =
            timer.time("message 1, decode", || borsh::from_slice(&encoded)).expect("own");
        let sender = timer
            .time("OT check, sender", || RvoleSender::receive(&punctured, &sid, &message))
            .expect("honest message");
        let (c, message) = timer.time("message 2, sender", || sender.respond(&[inputs], &mut rng));
        let encoded = borsh::to_vec(&message).expect("encodes");
        bytes.1 = encoded.len();
        let message: RvoleMsg2<C> =
            timer.time("message 2, decode", || borsh::from_slice(&encoded)).expect("own");
        let chi = receiver.chi().first().copied().unwrap_or_default();
        let d = timer.time("finish, receiver", || receiver.finish(&message)).expect("honest message");
        let (c, d) = (c.concat(), d.concat());
        for ((input, c), d) in inputs.into_iter().zip(c).zip(d) {
            assert!(c + d == input * chi, "the multiplication is wrong");
        }
    }
    timer.print(&format!("{}: one multiplication, one direction, {} + {} bytes", C::ID, bytes.0, bytes.1));
}
