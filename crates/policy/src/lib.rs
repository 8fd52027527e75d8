//! Who may ask, what may be signed, and who must agree.
//!
//! Everything here is a function of its inputs, so each node comes to its own decision on the same bytes and an auditor can
//! repeat it: no socket, clock or randomness.
//!
//! | module | owns |
//! |---|---|
//! | [`name`] | names of people, groups, credentials, policies |
//! | [`directory`] | who exists, with which credentials, in which groups |
//! | [`nodes`] | the nodes of the cluster, and the identities that are nodes no longer |
//! | [`change`] | one signed change of the directory or the policies |
//! | [`chain`] | the changes in order, from a genesis that the nodes' operators signed |
//! | [`approval`] | what people say about a request of somebody else |
//! | [`quorum`] | who must agree: `2 of Group::"finance" and User::"cfo"` |
//! | [`facts`] | what a decision is made from |
//! | [`schema`] | which facts a policy may use |
//! | [`annotation`] | what a rule says beside its conditions: quorum, delay, expiry |
//! | [`policies`] | the policies of a directory, parsed and checked |
//! | [`finding`] | what is wrong with a policy, and where |
//! | [`decide`] | the decision, and what follows from what people said |
//! | [`explain`] | why each rule applies or does not, clause by clause |
//! | [`lint`](lint::lint) | what is allowed in policies and probably not meant |
//! | [`suite`] | tests of policies, as a file |
//! | [`view`] | the directory that a node shows, read back |
//! | [`window`] | what was spent in the last hour, day and week |

pub mod annotation;
pub mod approval;
pub mod chain;
pub mod change;
pub mod decide;
pub mod directory;
mod engine;
pub mod explain;
pub mod facts;
pub mod finding;
pub mod genesis;
pub mod lint;
pub mod name;
pub mod nodes;
pub mod policies;
pub mod quorum;
pub mod schema;
mod source;
pub mod suite;
pub mod view;
pub mod window;
