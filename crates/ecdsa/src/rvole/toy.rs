//! RVOLE over fields so small that every run there is can be counted, and the code of the real curves over such a field.
//!
//! The model is `spec/22-rvole.md` with the hash functions and the extension replaced by what they stand for:
//!
//! | step | in the model |
//! |---|---|
//! | RVOLE.1 | g_j: enumerated |
//! | RVOLE.2 | β_j: enumerated; the transfers are ideal, so the sender has α_{j,0} and α_{j,1}, and the receiver α_{j,β_j} and no more |
//! | RVOLE.3 | a_u, a_v, the check input â and all six scalars of the two pads of a row: enumerated |
//! | RVOLE.4 | a~_{j,k} = α_{j,0,k} − α_{j,1,k} + a_k + the deviation of row j and lane k; c_k as it stands |
//! | RVOLE.5 | (θ_u, θ_v): enumerated, as a random oracle may answer anything; η + a deviation |
//! | RVOLE.6 | μ_j + a deviation, in clear: the hash of the page binds its sender to all of them and hides none that the receiver does not compute itself |
//! | RVOLE.7–10 | as they stand; the receiver gets nothing but its own pads and choices, g, θ and the message |
//!
//! Lanes and the check column are those of the construction: two inputs, one column. The field and the number of transfers are as small as
//! they can be: with three elements signs matter, with two transfers rows can contradict each other. Deviations are enumerated for each θ, so
//! a sender that chooses η and μ after θ, and one that tries many matrices to get a θ it likes, are among those counted; that such a θ is
//! one in q is then the statement, which for the q of a real curve is 2^-256 a trial.

use super::{LANES, RvoleFault, RvoleReceiver, RvoleSender};
use crate::ot_setup::{gadget_scalars, ideal_pair};
use crate::residue::{Modulus, from_scalar};
use crate::suite::{TRANSFERS, test_rng};
use crate::toy::Toy;
use quorate_protocol::curve::Scalar;
use quorate_protocol::rng::HedgedRng;
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

/// u, v and w.
type Row = [u8; LANES];

/// Every vector of D numbers below q, in order.
fn all<const D: usize>(q: u8) -> impl Iterator<Item = [u8; D]> {
    let mut next = Some([0; D]);
    core::iter::from_fn(move || {
        let now = next?;
        let mut after = now;
        let carried = after.iter_mut().all(|digit| {
            *digit = (*digit + 1) % q;
            *digit == 0
        });
        next = (!carried).then_some(after);
        Some(now)
    })
}

/// What the setting and the transfers give.
#[derive(Clone, Copy)]
struct Deal<const Q: u8, const N: usize> {
    gadget: [u8; N],
    beta: [u8; N],
    /// α_{j,0}, α_{j,1}
    alpha: [[Row; 2]; N],
}

/// What a sender adds to what it should send.
#[derive(Clone, Copy)]
struct Deviation<const N: usize> {
    rows: [Row; N],
    eta: u8,
    mu: [u8; N],
}

impl<const N: usize> Deviation<N> {
    const NONE: Self = Self { rows: [[0; LANES]; N], eta: 0, mu: [0; N] };

    fn in_one_lane(row: usize, lane: usize, shift: u8) -> Self {
        let mut deviation = Self::NONE;
        deviation.rows[row][lane] = shift;
        deviation
    }
}

/// Message 2.
#[derive(Clone, Copy)]
struct Message<const N: usize> {
    masked: [Row; N],
    eta: u8,
    mu: [u8; N],
}

/// x_w + θ_u·x_u + θ_v·x_v
fn weigh<const Q: u8>(theta: [u8; 2], [u, v, w]: Row) -> u8 {
    (w + theta[0] * u + theta[1] * v) % Q
}

impl<const Q: u8, const N: usize> Deal<Q, N> {
    /// Every gadget, every choice and every pad. `pads` is 6·N.
    fn every<const PADS: usize>() -> impl Iterator<Item = Self> {
        assert_eq!(PADS, 2 * LANES * N);
        all::<N>(Q).flat_map(|gadget| all::<N>(2).map(move |beta| (gadget, beta))).flat_map(
            |(gadget, beta)| {
                all::<PADS>(Q).map(move |pads| {
                    let pad = |j, side| core::array::from_fn(|lane| pads[(2 * j + side) * LANES + lane]);
                    let alpha = core::array::from_fn(|j| [pad(j, 0), pad(j, 1)]);
                    Self { gadget, beta, alpha }
                })
            },
        )
    }

    /// χ
    fn chi(&self) -> u8 {
        self.gadget.iter().zip(&self.beta).fold(0, |sum, (g, beta)| sum + g * beta) % Q
    }

    /// What the transfers give to the receiver.
    fn received(&self) -> [Row; N] {
        core::array::from_fn(|j| self.alpha[j][usize::from(self.beta[j])])
    }

    /// RVOLE.4–RVOLE.6: (c_u, c_v) and message 2. The sender does not see β.
    fn send(
        &self,
        input: Row,
        theta: impl Fn(&[Row; N]) -> [u8; 2],
        deviation: &Deviation<N>,
    ) -> ([u8; 2], Message<N>) {
        let masked = core::array::from_fn(|j| {
            let [zero, one] = self.alpha[j];
            core::array::from_fn(|k| (zero[k] + Q - one[k] + input[k] + deviation.rows[j][k]) % Q)
        });
        let c = core::array::from_fn(|k| {
            let sum = self.gadget.iter().zip(&self.alpha).fold(0, |sum, (g, [zero, _])| sum + g * zero[k]);
            (Q - sum % Q) % Q
        });
        let theta = theta(&masked);
        let eta = (weigh::<Q>(theta, input) + deviation.eta) % Q;
        let mu = core::array::from_fn(|j| (weigh::<Q>(theta, self.alpha[j][0]) + deviation.mu[j]) % Q);
        (c, Message { masked, eta, mu })
    }
}

/// RVOLE.7–RVOLE.10: (d_u, d_v), if the check passes.
fn receive<const Q: u8, const N: usize>(
    gadget: &[u8; N],
    beta: &[u8; N],
    pads: &[Row; N],
    theta: [u8; 2],
    message: &Message<N>,
) -> Option<[u8; 2]> {
    let mut d = [0; 2];
    let mut passes = true;
    for j in 0..N {
        let gamma: Row = core::array::from_fn(|k| (pads[j][k] + beta[j] * message.masked[j][k]) % Q);
        for (d, gamma) in d.iter_mut().zip(&gamma) {
            *d = (*d + gadget[j] * gamma) % Q;
        }
        let mu = (weigh::<Q>(theta, gamma) + Q - beta[j] * message.eta) % Q;
        passes &= mu == message.mu[j];
    }
    passes.then_some(d)
}

/// Both sides: c + d, if the check passes.
fn run<const Q: u8, const N: usize>(
    deal: &Deal<Q, N>,
    input: Row,
    theta: [u8; 2],
    deviation: &Deviation<N>,
) -> Option<[u8; 2]> {
    let (c, message) = deal.send(input, |_| theta, deviation);
    let d = receive::<Q, N>(&deal.gadget, &deal.beta, &deal.received(), theta, &message)?;
    Some(core::array::from_fn(|k| (c[k] + d[k]) % Q))
}

/// Calls `visit` for every deal, input and θ; how many there were.
fn every_run<const Q: u8, const N: usize, const PADS: usize>(
    mut visit: impl FnMut(&Deal<Q, N>, Row, [u8; 2]),
) -> usize {
    let mut cases = 0;
    for deal in Deal::<Q, N>::every::<PADS>() {
        for input in all::<LANES>(Q) {
            for theta in all::<2>(Q) {
                visit(&deal, input, theta);
                cases += 1;
            }
        }
    }
    cases
}

/// Whoever keeps to the protocol passes the check and gets the product, in every run there is.
#[test]
fn every_honest_run_gives_the_product() {
    fn on<const Q: u8, const N: usize, const PADS: usize>() -> usize {
        every_run::<Q, N, PADS>(|deal, input, theta| {
            let product = [input[0] * deal.chi() % Q, input[1] * deal.chi() % Q];
            assert_eq!(run(deal, input, theta, &Deviation::NONE), Some(product));
        })
    }
    // g, β, pads, inputs, θ
    assert_eq!(on::<3, 1, 6>(), 3 * 2 * 729 * 27 * 9);
    assert_eq!(on::<2, 2, 12>(), 4 * 4 * 4096 * 8 * 4);
}

/// One lane of one row with another input, in every run there is: refused exactly where the choice of that row is 1 and θ does not cancel
/// the difference. What passes is the product, but for the one θ in q that cancels it.
///
/// covers: A18
#[test]
fn every_shift_of_one_lane_is_refused_where_the_choice_meets_it() {
    /// runs, refused, passed with a wrong product
    fn on<const Q: u8, const N: usize, const PADS: usize>() -> [usize; 3] {
        let [mut shifts, mut refused, mut wrong] = [0; 3];
        let runs = every_run::<Q, N, PADS>(|deal, input, theta| {
            let chi = deal.chi();
            for (row, lane) in (0..N).flat_map(|row| (0..LANES).map(move |lane| (row, lane))) {
                for shift in 1..Q {
                    shifts += 1;
                    let sum = run(deal, input, theta, &Deviation::in_one_lane(row, lane, shift));
                    let met = deal.beta[row] == 1;
                    let cancelled = lane < 2 && theta[lane] == 0;
                    assert_eq!(sum.is_some(), !met || cancelled);
                    let Some(sum) = sum else {
                        refused += 1;
                        continue;
                    };
                    let off = |k| if met && k == lane { deal.gadget[row] * shift } else { 0 };
                    let expected = core::array::from_fn(|k| (input[k] * chi + off(k)) % Q);
                    assert_eq!(sum, expected);
                    wrong += usize::from((0..2).any(|k| off(k) != 0));
                }
            }
        });
        assert_eq!(shifts, runs * N * LANES * usize::from(Q - 1));
        [shifts, refused, wrong]
    }
    // Of the shifts half are met. Of those in u and v one θ in q lets them pass, of which one g in q makes it no difference.
    let shifts = 3 * 2 * 729 * 27 * 9 * 6;
    assert_eq!(on::<3, 1, 6>(), [shifts, shifts / 2 * 7 / 9, shifts / 2 * 2 / 9 * 2 / 3]);
    let shifts = 4 * 4 * 4096 * 8 * 4 * 6;
    assert_eq!(on::<2, 2, 12>(), [shifts, shifts / 2 * 2 / 3, shifts / 2 / 3 / 2]);
}

/// Numbers that have nothing to do with the case they are drawn for: SplitMix64, because ten million cases each take fifteen.
struct Drawn(u64);

impl Drawn {
    fn below<const Q: u8>(&mut self) -> u8 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)).to_le_bytes()[0] % Q
    }
    fn row<const Q: u8>(&mut self) -> Row {
        core::array::from_fn(|_| self.below::<Q>())
    }
}

/// Whatever a sender adds to any entries of a~, to η and to any μ_j: what passes, and what it is worth to it.
///
/// Row j is *open* if its entries fit η: θ·(row's inputs) = η. Then
/// - the run passes exactly if μ_j was moved by nothing where row j is open, and by what β_j brings in where it is not: so the sender has
///   guessed β_j in the s rows that are not open, and 2^-s of all β pass, or none;
/// - if all open rows have the same inputs a', then c + d = a'·χ up to a number that the sender knows from its guesses and takes off its
///   own c: the ideal functionality with input a', and s bits of β told by the verdict;
/// - open rows have different inputs only for the one θ in q that cancels the difference.
///
/// Inputs and pads are drawn: that they make no difference is what the two tests above enumerate.
///
/// covers: A18
#[test]
fn every_deviation_passes_for_its_guesses_and_is_then_the_product_of_one_input() {
    /// runs, passes, triples of rows, η and θ of which the open rows contradict each other
    fn on<const Q: u8, const N: usize, const ENTRIES: usize>() -> [usize; 3] {
        let mut drawn = Drawn(7);
        let [mut runs, mut passes, mut contradictions] = [0; 3];
        for entries in all::<ENTRIES>(Q) {
            let (rows, _) = entries.as_chunks::<LANES>();
            let rows: [Row; N] = rows.try_into().unwrap();
            let mut contradicting = BTreeSet::new();
            for (theta, eta) in all::<2>(Q).flat_map(|theta| (0..Q).map(move |eta| (theta, eta))) {
                // θ·(row's deviation) − η's
                let x: [u8; N] = core::array::from_fn(|j| (weigh::<Q>(theta, rows[j]) + Q - eta) % Q);
                let closed = x.iter().filter(|x| **x != 0).count();
                let open: BTreeSet<[u8; 2]> =
                    (0..N).filter(|j| x[*j] == 0).map(|j| [rows[j][0], rows[j][1]]).collect();
                if open.len() > 1 {
                    contradicting.insert(theta);
                    contradictions += 1;
                }
                let used = open.first().copied().unwrap_or([0, 0]);
                for mu in all::<N>(Q) {
                    let guessable = (0..N).all(|j| mu[j] == 0 || mu[j] == x[j]);
                    for gadget in all::<N>(Q) {
                        let mut passing = 0;
                        for beta in all::<N>(2) {
                            let alpha = core::array::from_fn(|_| [drawn.row::<Q>(), drawn.row::<Q>()]);
                            let deal = Deal::<Q, N> { gadget, beta, alpha };
                            let input = drawn.row::<Q>();
                            let sum = run(&deal, input, theta, &Deviation { rows, eta, mu });
                            runs += 1;
                            assert_eq!(sum.is_some(), (0..N).all(|j| beta[j] * x[j] % Q == mu[j]));
                            let Some(sum) = sum else { continue };
                            passing += 1;
                            if open.len() > 1 {
                                continue;
                            }
                            for k in 0..2 {
                                // From what the sender knows: where a row is closed, μ_j tells its guess.
                                let known = (0..N)
                                    .filter(|j| x[*j] != 0 && mu[*j] != 0)
                                    .fold(0, |sum, j| sum + gadget[j] * ((rows[j][k] + Q - used[k]) % Q));
                                assert_eq!(sum[k], ((input[k] + used[k]) % Q * deal.chi() + known) % Q);
                            }
                        }
                        assert_eq!(passing, if guessable { 1 << (N - closed) } else { 0 });
                        passes += passing;
                    }
                }
            }
            // Rows that differ in u or v are both open for one θ in q, those that differ in w alone for none.
            let pairs = (0..N).flat_map(|i| (0..i).map(move |j| (i, j)));
            let differ = pairs.filter(|(i, j)| rows[*i][..2] != rows[*j][..2]).count();
            assert!(contradicting.len() <= differ * usize::from(Q));
            if N == 2 {
                assert_eq!(contradicting.len(), differ * usize::from(Q));
            }
        }
        [runs, passes, contradictions]
    }
    // rows, θ, η, μ, g, β. Passes: for each of rows, θ and η, every β passes for one μ.
    let q3 = 729 * 9 * 3;
    let [runs, passes, contradictions] = on::<3, 2, 6>();
    assert_eq!((runs, passes), (q3 * 9 * 9 * 4, q3 * 9 * 4));
    // Of 81·9 pairs of rows 72·9 differ in u or v; three θ cancel the difference, and one η then opens both rows.
    assert_eq!(contradictions, 72 * 9 * 3);
    let q2 = 512 * 4 * 2;
    let [runs, passes, contradictions] = on::<2, 3, 9>();
    assert_eq!((runs, passes), (q2 * 8 * 8 * 8, q2 * 8 * 8));
    assert!(contradictions > 0);
}

/// What the receiver sees (its pads, a~, η, μ) is distributed alike for every input, whatever θ is as a function of a~: each view there can
/// be occurs exactly once in all the pads and check inputs. Without the check input it is not so.
#[test]
fn what_the_receiver_sees_is_the_same_for_every_input() {
    type Theta<const N: usize> = fn(&[Row; N]) -> [u8; 2];
    /// How often each view occurs.
    fn views<const Q: u8, const N: usize, const PADS: usize>(
        [u, v]: [u8; 2],
        beta: [u8; N],
        theta: &dyn Fn(&[Row; N]) -> [u8; 2],
        checks: u8,
        cases: &mut usize,
    ) -> BTreeMap<Vec<u8>, usize> {
        let mut views = BTreeMap::new();
        for deal in Deal::<Q, N>::every::<PADS>().filter(|deal| deal.gadget == [1; N] && deal.beta == beta) {
            for w in 0..checks {
                let (_, Message { masked, eta, mu }) = deal.send([u, v, w], theta, &Deviation::NONE);
                let rows = [deal.received(), masked];
                let view: Vec<u8> =
                    rows.as_flattened().as_flattened().iter().chain(&[eta]).chain(&mu).copied().collect();
                *views.entry(view).or_default() += 1;
                *cases += 1;
            }
        }
        views
    }
    fn on<const Q: u8, const N: usize, const PADS: usize>(hashed: Theta<N>) -> usize {
        let mut cases = 0;
        for beta in all::<N>(2) {
            // Each θ as a constant, then one that is a function of a~.
            for fixed in all::<2>(Q).map(Some).chain([None]) {
                let theta = |rows: &[Row; N]| fixed.unwrap_or_else(|| hashed(rows));
                let mut of = |input, checks| views::<Q, N, PADS>(input, beta, &theta, checks, &mut cases);
                let first = of([0, 0], Q);
                assert!(first.values().all(|times| *times == 1));
                let bare = of([0, 0], 1);
                for input in all::<2>(Q).skip(1) {
                    assert_eq!(of(input, Q), first);
                    // θ_u·a_u + θ_v·a_v in clear tells inputs apart, but for those to which a constant θ gives the same.
                    let alike = fixed.is_some_and(|theta| weigh::<Q>(theta, [input[0], input[1], 0]) == 0);
                    assert_eq!(of(input, 1) == bare, alike);
                }
            }
        }
        cases
    }
    // β, θ of ten and of five, pads, inputs with every check input and with one.
    let cases = on::<3, 1, 6>(|rows| [(rows[0][0] + 2 * rows[0][2]) % 3, (rows[0][1] * rows[0][2] + 1) % 3]);
    assert_eq!(cases, 2 * 10 * 729 * 9 * (3 + 1));
    let cases = on::<2, 2, 12>(|rows| [(rows[0][0] + rows[1][2]) % 2, (rows[0][1] * rows[1][0] + 1) % 2]);
    assert_eq!(cases, 4 * 5 * 4096 * 4 * (2 + 1));
}

/// With s of the choices known, χ is as near to uniform, over all gadgets, as the leftover hash lemma says: at most ½·√(q / 2^(ξ − s)).
/// With ξ = log q + 2·λ_s that is 2^-(λ_s − s/2) / 2, and guessing the bits costs 2^-s.
#[test]
fn what_guesses_leave_of_the_choices_hides_the_factor() {
    const Q: u8 = 3;
    const N: usize = 6;
    let mut cases = 0;
    // A digit a choice: known to be 0, known to be 1, or not known.
    for known in all::<N>(3) {
        let free = known.iter().filter(|digit| **digit == 2).count();
        let mut distance = 0u128;
        for gadget in all::<N>(Q) {
            let mut counts = [0u64; 3];
            for beta in all::<N>(2).filter(|beta| (0..N).all(|j| known[j] == 2 || known[j] == beta[j])) {
                let chi = (0..N).fold(0, |sum, j| sum + gadget[j] * beta[j]) % Q;
                counts[usize::from(chi)] += 1;
                cases += 1;
            }
            assert_eq!(counts.iter().sum::<u64>(), 1 << free);
            distance += counts.iter().map(|count| u128::from((3 * count).abs_diff(1 << free))).sum::<u128>();
        }
        // The mean over g of Σ|Pr[χ = x] − 1/q|/2 is distance/(2·q·2^free·q^N); both sides squared.
        assert!(distance * distance <= 3u128.pow(2 * 6 + 3) << free, "{known:?}");
        assert!(distance > 0);
    }
    // Each choice is known to be one of two, or free with two values.
    assert_eq!(cases, 4usize.pow(6) * 3usize.pow(6));
}

fn random_delta(rng: &mut HedgedRng) -> [u8; 32] {
    rng.bytes::<32>().map(|byte| byte & 15)
}

/// The code of the real curves, with all its transfers, over fields of three, five and 2^30 elements: thousands of products.
#[test]
fn the_real_code_multiplies_over_small_fields() {
    fn on<const Q: u64>(sessions: usize) -> usize {
        const ITEMS: usize = 32;
        let mut rng = test_rng("toy products");
        let ot_id = rng.bytes();
        let (all, punctured) = ideal_pair::<Toy<Q>>(&ot_id, random_delta(&mut rng), &mut rng);
        let gadget: Vec<Scalar<Toy<Q>>> = gadget_scalars(&ot_id).collect();
        let mut products = 0;
        for _ in 0..sessions {
            let sid = rng.bytes();
            let (receiver, message) = RvoleReceiver::start(&all, &sid, ITEMS, &mut rng);
            let sender = RvoleSender::receive(&punctured, &sid, &message).unwrap();
            let inputs: Vec<_> =
                (0..ITEMS).map(|_| [Scalar::random(&mut rng), Scalar::random(&mut rng)]).collect();
            let (c, message) = sender.respond(&inputs, &mut rng);
            let ideal: Vec<_> = (0..ITEMS)
                .map(|item| (0..TRANSFERS).filter(|j| choice(&receiver, item, *j)).map(|j| gadget[j]).sum())
                .collect();
            assert!(receiver.chi() == ideal);
            let d = receiver.finish(&message).unwrap();
            for (item, chi) in ideal.iter().enumerate() {
                for k in 0..2 {
                    assert!(c[item][k] + d[item][k] == inputs[item][k] * *chi);
                    products += 1;
                }
            }
        }
        products
    }
    assert_eq!([on::<3>(32), on::<5>(32), on::<1_073_741_789>(32)], [2048; 3]);
}

/// β_j of an item.
fn choice<const Q: u64>(receiver: &RvoleReceiver<Toy<Q>>, item: usize, j: usize) -> bool {
    receiver.items[item].choices[j / 128] >> (j % 128) & 1 == 1
}

/// Every shift of every lane of every row, at the code of the real curves over the field of three elements: the verdict and the product
/// that the model says, also where θ cancels the shift, which on a real curve nobody will ever see.
///
/// covers: A18
#[test]
fn the_real_code_refuses_the_shifts_that_the_model_refuses() {
    const Q: u64 = 3;
    type S = Scalar<Toy<Q>>;
    let mut rng = test_rng("toy shifts");
    let ot_id = rng.bytes();
    let (all, punctured) = ideal_pair::<Toy<Q>>(&ot_id, random_delta(&mut rng), &mut rng);
    let gadget: Vec<S> = gadget_scalars(&ot_id).collect();
    let modulus = Modulus::of::<Toy<Q>>();
    let [mut cases, mut refused, mut cancelled] = [0; 3];
    for (row, lane) in (0..TRANSFERS).flat_map(|row| (0..LANES).map(move |lane| (row, lane))) {
        for shift in 1..Q {
            let shift = S::from(shift);
            let sid = rng.bytes();
            let (receiver, message) = RvoleReceiver::start(&all, &sid, 1, &mut rng);
            let sender = RvoleSender::receive(&punctured, &sid, &message).unwrap();
            let input: [S; LANES] = core::array::from_fn(|_| S::random(&mut rng));
            let cheat = |_, j, honest: &super::Lanes| {
                let mut lanes = *honest;
                if j == row {
                    lanes[lane] = modulus.add(&lanes[lane], &from_scalar(&shift));
                }
                lanes
            };
            let (c, message) = sender.respond_with(&[input.map(|a| from_scalar(&a))], cheat, rng.bytes());
            let theta = receiver.session.theta::<Toy<Q>>(&message.nonce_s, 0, &message.items[0].encoded);
            let met = choice(&receiver, 0, row);
            let cancels = lane < 2 && bool::from(theta[lane].is_zero());
            let chi = receiver.chi()[0];
            let verdict = receiver.finish(&message);
            assert_eq!(verdict.as_ref().err(), (met && !cancels).then_some(&RvoleFault::Consistency));
            cases += 1;
            match verdict {
                Err(_) => refused += 1,
                Ok(d) => {
                    for k in 0..2 {
                        let off = if met && k == lane { gadget[row] * shift } else { S::ZERO() };
                        assert!(c[0][k] + d[0][k] == input[k] * chi + off);
                    }
                    cancelled += usize::from(met);
                }
            }
        }
    }
    assert_eq!(cases, 416 * 3 * 2);
    // Half are met, and of those two in nine cancelled: both within six standard deviations.
    assert!((820..1120).contains(&refused) && (190..370).contains(&cancelled), "{refused}, {cancelled}");
}
