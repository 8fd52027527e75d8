//! A model of whole committees: nodes that crash, messages that are lost or late, and every decision taken by the functions above.

use super::*;

/// splitmix64
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n).unwrap()).unwrap()
    }
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone, Debug)]
enum Said {
    /// Coordinator: all have prepared.
    StandDown,
    CallOff,
    Acknowledged(BTreeSet<PeerId>),
    Ask,
    Word(Word),
    Proof,
}

#[derive(Debug)]
struct Node {
    /// On disk.
    standing: Standing,
    switched: bool,
    /// In memory.
    up: bool,
    running: bool,
    acknowledged: BTreeSet<PeerId>,
    words: BTreeMap<PeerId, Word>,
}

struct World {
    this: Move,
    nodes: BTreeMap<PeerId, Node>,
    air: Vec<(PeerId, PeerId, Said)>,
    /// Whether nodes give up where only a promise never to acknowledge is missing.
    impatient: bool,
}

fn peer(n: usize) -> PeerId {
    PeerId::from_bytes([u8::try_from(n).unwrap(); 32])
}

fn threshold(k: usize, members: &[usize]) -> (Access, BTreeMap<PeerId, PartyIndex>) {
    let index = |n: usize| PartyIndex::new(u16::try_from(n).unwrap()).unwrap();
    let indices: Vec<PartyIndex> = members.iter().map(|n| index(*n)).collect();
    let parties = members.iter().map(|n| (peer(*n), index(*n))).collect();
    (Access::threshold(u16::try_from(k).unwrap(), &indices).unwrap(), parties)
}

fn moving(k: usize, old: &[usize], l: usize, new: &[usize]) -> Move {
    let ((old, old_parties), (new, new_parties)) = (threshold(k, old), threshold(l, new));
    Move { old, old_parties, new, new_parties, lost: BTreeSet::new(), restores: false }
}

impl World {
    fn new(this: Move, impatient: bool) -> Self {
        let all: BTreeSet<PeerId> = this.old_parties.keys().chain(this.new_parties.keys()).copied().collect();
        let node = || Node {
            standing: Standing::Settled.after(Event::Prepare).unwrap(),
            switched: false,
            up: true,
            running: true,
            acknowledged: BTreeSet::new(),
            words: BTreeMap::new(),
        };
        let nodes = all.into_iter().map(|id| (id, node())).collect();
        Self { this, nodes, air: Vec::new(), impatient }
    }

    fn peers(&self) -> Vec<PeerId> {
        self.nodes.keys().copied().collect()
    }

    fn say(&mut self, from: PeerId, to: PeerId, said: Said) {
        self.air.push((from, to, said));
    }

    fn step(&mut self, id: PeerId, event: Event) {
        let node = self.nodes.get_mut(&id).unwrap();
        if let Some(next) = node.standing.after(event) {
            node.standing = next;
        }
    }

    fn learn(&mut self, id: PeerId, more: &BTreeSet<PeerId>) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.acknowledged.extend(more);
        if !node.switched && matches!(node.standing, Standing::InDoubt | Standing::GaveUp) {
            let known = node.acknowledged.clone();
            if self.this.in_force(&known) {
                self.prove(id);
            }
        }
    }

    fn prove(&mut self, id: PeerId) {
        self.step(id, Event::Proven);
        self.nodes.get_mut(&id).unwrap().switched = true;
        for other in self.peers() {
            self.say(id, other, Said::Proof);
        }
    }

    fn hear(&mut self, from: PeerId, to: PeerId, said: Said) {
        let node = &self.nodes[&to];
        if !node.up {
            return;
        }
        match said {
            Said::StandDown if node.running && node.standing == Standing::Prepared => {
                self.step(to, Event::StandDown);
                let own = BTreeSet::from([to]);
                self.learn(to, &own);
                self.say(to, from, Said::Acknowledged(own));
            }
            Said::CallOff => {
                self.nodes.get_mut(&to).unwrap().running = false;
                self.step(to, Event::CalledOff);
            }
            Said::Acknowledged(who) => self.learn(to, &who),
            Said::Proof if !node.switched => self.prove(to),
            Said::Ask => {
                let answer = match (node.switched, node.standing) {
                    (true, _) => Some(Said::Proof),
                    (_, Standing::InDoubt | Standing::GaveUp) => {
                        let own = node.acknowledged.clone();
                        self.say(to, from, Said::Acknowledged(own));
                        Some(Said::Word(Word::Unproven))
                    }
                    (_, Standing::Settled) if !node.running => Some(Said::Word(Word::Never)),
                    _ => None,
                };
                if let Some(answer) = answer {
                    self.say(to, from, answer);
                }
            }
            Said::Word(word) => {
                self.nodes.get_mut(&to).unwrap().words.insert(from, word);
            }
            Said::StandDown | Said::Proof => {}
        }
    }

    fn give_up(&mut self, id: PeerId) {
        let node = &self.nodes[&id];
        if node.standing != Standing::InDoubt || !node.up {
            return;
        }
        let mut words = node.words.clone();
        if !self.impatient {
            words.retain(|_, word| *word == Word::Never);
        }
        words.insert(id, Word::Unproven);
        let certain = !self.this.in_force(
            &self.peers().into_iter().filter(|peer| words.get(peer) != Some(&Word::Never)).collect(),
        );
        if self.this.may_give_up(&words) && (self.impatient || certain) {
            self.step(id, Event::GiveUp);
        }
    }

    fn crash(&mut self, id: PeerId) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.up = false;
        node.running = false;
        node.words.clear();
        node.acknowledged.retain(|who| *who == id);
    }

    fn start(&mut self, id: PeerId) {
        self.nodes.get_mut(&id).unwrap().up = true;
        self.step(id, Event::CalledOff);
    }

    /// Who may use the key in its old epoch, and who in the new one. Also those that are down: they may come back.
    fn users(&self) -> (Vec<PartyIndex>, Vec<PartyIndex>) {
        let old = indices(&self.this.old_parties, |peer| {
            !self.nodes[peer].switched && self.nodes[peer].standing.may_use()
        });
        let new = indices(&self.this.new_parties, |peer| self.nodes[peer].switched);
        (old, new)
    }

    fn both_can_act(&self) -> bool {
        let (old, new) = self.users();
        self.this.old.is_qualified(&old) && self.this.new.is_qualified(&new)
    }

    /// Anything happens.
    fn muddle(&mut self, dice: &mut Dice, steps: usize, seed: u64) {
        let peers = self.peers();
        let coordinator = peers[dice.below(peers.len())];
        for _ in 0..steps {
            let one = peers[dice.below(peers.len())];
            let other = peers[dice.below(peers.len())];
            match dice.below(12) {
                0 if self.nodes[&coordinator].running => self.say(coordinator, one, Said::StandDown),
                1 if dice.chance(10) && self.nodes[&coordinator].running => {
                    self.say(coordinator, one, Said::CallOff);
                }
                2 if self.nodes[&one].up && dice.chance(30) => self.crash(one),
                3 if !self.nodes[&one].up => self.start(one),
                4 if self.nodes[&one].standing == Standing::InDoubt => self.say(one, other, Said::Ask),
                5 => self.give_up(one),
                6 if !self.air.is_empty() => drop(self.air.swap_remove(dice.below(self.air.len()))),
                _ if !self.air.is_empty() => {
                    let (from, to, said) = self.air.swap_remove(dice.below(self.air.len()));
                    // Late twins of a message do happen.
                    if dice.chance(10) {
                        self.say(from, to, said.clone());
                    }
                    self.hear(from, to, said);
                }
                _ => {}
            }
            if !self.impatient || self.this.intersects() {
                assert!(!self.both_can_act(), "seed {seed}: {:?}", self.nodes);
            }
        }
    }

    /// Those that are not lost are up, and everybody hears everybody.
    fn settle(&mut self, lost: &BTreeSet<PeerId>) {
        self.air.clear();
        for id in self.peers() {
            if lost.contains(&id) {
                self.crash(id);
            } else if !self.nodes[&id].up {
                self.start(id);
            }
            self.nodes.get_mut(&id).unwrap().running = false;
            if !lost.contains(&id) {
                self.step(id, Event::CalledOff);
            }
        }
        for _ in 0..6 {
            for id in self.peers() {
                // In doubt, or about to use the key: then the others say that its epoch is over.
                if !self.nodes[&id].switched {
                    self.nodes.get_mut(&id).unwrap().words.clear();
                    for other in self.peers() {
                        self.say(id, other, Said::Ask);
                    }
                }
            }
            while let Some((from, to, said)) = self.air.pop() {
                self.hear(from, to, said);
            }
            for id in self.peers() {
                self.give_up(id);
            }
        }
    }
}

/// Some parties of before are lost: another machine stands in for them, or nobody.
fn with_lost(mut this: Move, dice: &mut Dice) -> Move {
    let parties: Vec<(PeerId, PartyIndex)> = this.old_parties.clone().into_iter().collect();
    for (at, (gone, index)) in parties.into_iter().enumerate() {
        if at > 0 && dice.chance(40) {
            continue;
        }
        this.restores = true;
        let fresh = peer(usize::from(index.get()) + 6);
        this.old_parties.remove(&gone);
        if dice.chance(50) {
            this.old_parties.insert(fresh, index);
        } else {
            this.lost.insert(index);
        }
        if this.new_parties.remove(&gone).is_some() {
            this.new_parties.insert(fresh, index);
        }
    }
    this
}

/// Committees of 1 to 5 before and after, any thresholds, in part the same nodes.
fn any_move(dice: &mut Dice) -> Move {
    let pick = |dice: &mut Dice| loop {
        let members: Vec<usize> = (1..=6).filter(|_| dice.chance(55)).collect();
        if (1..=5).contains(&members.len()) {
            return members;
        }
    };
    let old = pick(dice);
    let new = if dice.chance(50) { old.clone() } else { pick(dice) };
    let (k, l) = (1 + dice.below(old.len()), 1 + dice.below(new.len()));
    let this = moving(k, &old, l, &new);
    if dice.chance(25) { with_lost(this, dice) } else { this }
}

/// covers: S35, B11
#[test]
fn never_both_epochs_and_always_one() {
    let (mut intersecting, mut in_force, mut kept, mut with_losses, mut restored) = (0, 0, 0, 0, 0);
    for seed in 0..6_000_u64 {
        let mut dice = Dice(seed);
        let this = any_move(&mut dice);
        let impatient = dice.chance(50);
        intersecting += u32::from(this.intersects());
        let mut world = World::new(this, impatient);
        world.muddle(&mut dice, 120, seed);
        let peers = world.peers();
        let lost: BTreeSet<PeerId> = peers.iter().copied().filter(|_| dice.chance(15)).collect();
        world.settle(&lost);
        with_losses += u32::from(!lost.is_empty());
        let living = |id: &PeerId| !lost.contains(id);
        let switched: Vec<bool> =
            peers.iter().filter(|id| living(id)).map(|id| world.nodes[id].switched).collect();
        // All that are there agree, whatever was lost.
        assert!(switched.windows(2).all(|two| two[0] == two[1]), "seed {seed}: {:?}", world.nodes);
        if switched.first() == Some(&true) {
            in_force += 1;
            restored += u32::from(world.this.restores);
            continue;
        }
        // Nobody is locked out: who could act for the key before can, if the lost ones cannot act for its successor.
        let here = indices(&world.this.old_parties, living);
        let elsewhere = indices(&world.this.new_parties, |id| !living(id));
        let (users, _) = world.users();
        let users: Vec<PartyIndex> = users.into_iter().filter(|index| here.contains(index)).collect();
        let must = lost.is_empty() || (impatient && !world.this.new.is_qualified(&elsewhere));
        if must && world.this.old.is_qualified(&here) {
            assert!(world.this.old.is_qualified(&users), "seed {seed}: {lost:?} {:?}", world.nodes);
            kept += 1;
        }
    }
    // Each branch was taken often.
    assert!(
        intersecting > 500 && in_force > 500 && kept > 500 && with_losses > 1000 && restored > 50,
        "{intersecting} {in_force} {kept} {with_losses} {restored}"
    );
}

/// What the rule of MOVE.12 cannot give: with two of four, two that gave up and two that learn the proof late can act in both epochs.
#[test]
fn small_quorums_that_give_up_are_the_limit() {
    let this = moving(2, &[1, 2, 3, 4], 2, &[1, 2, 3, 4]);
    assert!(!this.intersects());
    let words = |who: &[usize]| who.iter().map(|n| (peer(*n), Word::Unproven)).collect();
    assert!(!this.may_give_up(&words(&[1, 2])), "3 and 4 could act for the successor");
    assert!(this.may_give_up(&words(&[1, 2, 3])));
    assert!(moving(3, &[1, 2, 3, 4], 3, &[1, 2, 3, 4]).intersects());
}

#[test]
fn a_successor_needs_its_members_and_enough_of_those_before() {
    let set = |who: &[usize]| who.iter().map(|n| peer(*n)).collect::<BTreeSet<_>>();
    // From a, b, c to d, e, f.
    let away = moving(2, &[1, 2, 3], 2, &[4, 5, 6]);
    assert!(!away.in_force(&set(&[4, 5, 6])), "nobody of before stands down");
    assert!(!away.in_force(&set(&[1, 4, 5, 6])), "two of them could still sign");
    assert!(away.in_force(&set(&[1, 2, 4, 5, 6])));
    assert!(!away.in_force(&set(&[1, 2, 3, 4, 5])), "one of the new ones is missing");
    // With k ≤ n/2 a quorum is not enough.
    let wide = moving(2, &[1, 2, 3, 4, 5], 2, &[6, 7, 8]);
    assert!(!wide.in_force(&set(&[1, 2, 3, 6, 7, 8])));
    assert!(wide.in_force(&set(&[1, 2, 3, 4, 6, 7, 8])));
    // With k > n/2, n - k + 1 are not enough: fewer than k could be liars all.
    let narrow = moving(4, &[1, 2, 3, 4, 5], 2, &[6, 7, 8]);
    assert!(!narrow.in_force(&set(&[1, 2, 6, 7, 8])));
    assert!(narrow.in_force(&set(&[1, 2, 3, 4, 6, 7, 8])));
}

#[test]
fn a_restore_needs_all_that_are_left_and_all_that_stand_in() {
    let set = |who: &[usize]| who.iter().map(|n| peer(*n)).collect::<BTreeSet<_>>();
    let party = |n: u16| PartyIndex::new(n).unwrap();
    // Of a, b, c nobody is left; g and h have the shares of a and b, and i is new.
    let mut all = moving(2, &[1, 2, 3], 2, &[7, 8, 9]);
    assert!(!all.in_force(&set(&[7, 8, 9])), "nobody was declared lost");
    all.restores = true;
    all.old_parties = BTreeMap::from([(peer(7), party(1)), (peer(8), party(2))]);
    all.lost = BTreeSet::from([party(3)]);
    assert!(all.in_force(&set(&[7, 8, 9])));
    assert!(!all.in_force(&set(&[7, 8])) && !all.in_force(&set(&[7, 9])));
    // Of five, d and e are left; they are no quorum, and must know all the same.
    let mut some = moving(3, &[1, 2, 3, 4, 5], 2, &[7, 8]);
    some.restores = true;
    some.old_parties = BTreeMap::from([(peer(7), party(1)), (peer(4), party(4)), (peer(5), party(5))]);
    some.lost = BTreeSet::from([party(2), party(3)]);
    assert!(!some.in_force(&set(&[7, 8, 4])), "e would go on asking for the old epoch");
    assert!(some.in_force(&set(&[7, 8, 4, 5])));
    // Too few are lost or stand in: whoever is neither could sign.
    some.lost = BTreeSet::new();
    some.old_parties = BTreeMap::from([(peer(7), party(1))]);
    assert!(!some.in_force(&set(&[7, 8])), "one share is no quorum");
}

#[test]
fn the_state_machine_has_these_steps_and_no_other() {
    use Event::{CalledOff, GiveUp, Prepare, Proven, StandDown};
    use Standing::{GaveUp, InDoubt, Prepared, Settled};
    let steps = [
        (Settled, Prepare, Prepared),
        (Prepared, StandDown, InDoubt),
        (Prepared, CalledOff, Settled),
        (InDoubt, CalledOff, InDoubt),
        (GaveUp, CalledOff, GaveUp),
        (Settled, CalledOff, Settled),
        (InDoubt, GiveUp, GaveUp),
        (Settled, Proven, Settled),
        (Prepared, Proven, Settled),
        (InDoubt, Proven, Settled),
        (GaveUp, Proven, Settled),
    ];
    let mut found = 0;
    for from in [Settled, Prepared, InDoubt, GaveUp] {
        for event in [Prepare, StandDown, CalledOff, Proven, GiveUp] {
            let expected = steps.iter().find(|(f, e, _)| (*f, *e) == (from, event)).map(|step| step.2);
            assert_eq!(from.after(event), expected, "{from:?} {event:?}");
            found += usize::from(expected.is_some());
        }
    }
    assert_eq!(found, steps.len());
    assert!(!InDoubt.may_use() && Settled.may_use() && Prepared.may_use() && GaveUp.may_use());
}
