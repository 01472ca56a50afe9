//! What an administrator's policy says: groups, ordered rules, first match per kind (S50).
//!
//! A [`RuleSet`] is what a file says, already checked for form; [`Policy`] is the same, ready to be asked. Nothing here
//! reads TOML (`src/policy` does) and nothing counts seats (the ledger does): a policy is asked what is allowed to whom,
//! and which seats count against which limit or reservation.

mod ask;
mod atoms;
mod compile;
mod network;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::license::Name;

pub use self::ask::{FeatureRules, Policy};
pub use self::network::Network;

/// A rule's number: its place in the file, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u32);

/// A group's number: its place in the file, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// The members of a group; all of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    /// Users, compared as S1 says.
    Users(Vec<Box<str>>),
    /// Hosts, compared as S1 says.
    Hosts(Vec<Box<str>>),
    /// Ranges of addresses.
    Addresses(Vec<Network>),
    /// Projects, compared byte for byte.
    Projects(Vec<Box<str>>),
}

/// A named group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Unique among all groups of a file.
    pub name: Box<str>,
    /// Who is in it.
    pub members: Members,
    /// Where it stands.
    pub place: RulePlace,
}

/// Whom a rule is for. Within one kind (users and groups of users; hosts and groups of hosts; …) one match is enough; of
/// several kinds each must match. Nothing named: everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Users by name.
    pub users: Vec<Box<str>>,
    /// Hosts by name.
    pub hosts: Vec<Box<str>>,
    /// Ranges of addresses.
    pub addresses: Vec<Network>,
    /// Projects by name.
    pub projects: Vec<Box<str>>,
    /// Groups of any kind.
    pub groups: Vec<GroupId>,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Access {
    Allow,
    Deny,
}

/// Whose seats a limit counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Those of one user.
    User,
    /// Those of one host.
    Host,
    /// Those of one of the groups that the rule names.
    Group,
    /// Those of one project.
    Project,
}

/// What a borrow rule allows (S43).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BorrowTerms {
    /// Whether they may borrow at all.
    pub access: Access,
    /// The longest time, hours.
    pub hours: Option<u32>,
    /// The most seats of a feature out at once.
    pub seats: Option<u32>,
    /// The most seats of a feature out at once for one user.
    pub per_user: Option<u32>,
}

/// What a rule says. Each is a kind of its own; a limit is one kind for each scope (S50).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Who may check out.
    Access(Access),
    /// Seats kept for them (S51); all such rules apply.
    Reserve(u32),
    /// At most so many seats.
    Limit(u32, Scope),
    /// Offline seats.
    Borrow(BorrowTerms),
    /// A seat idle for so many milliseconds is given to whoever needs one.
    Idle(u64),
    /// Waiters are served by fit, not strictly in order (S30).
    FastQueue,
    /// Who may book (S52).
    Book(Access),
    /// Who may ask `why` (S53).
    Why(Access),
}

/// Where a rule stands, and what it says in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePlace {
    /// The file's name.
    pub file: Arc<str>,
    /// 1-based.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
    /// As `limit 2 per user of cad for students`.
    pub text: Box<str>,
}

/// Which features a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Features {
    /// `*`.
    All,
    /// By name, and vendor where it is given.
    Named(Vec<(Option<Name>, Name)>),
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it says.
    pub action: Action,
    /// About what.
    pub features: Features,
    /// For whom.
    pub who: Who,
    /// Where.
    pub place: RulePlace,
}

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSet {
    /// In file order.
    pub groups: Vec<Group>,
    /// In file order.
    pub rules: Vec<Rule>,
}

/// Whom a request is from, as one policy sees it: names folded, and looked up once for all that is asked about it. Only
/// the policy that made it may be asked with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// Folded as S1 says.
    pub user: String,
    /// Folded as S1 says.
    pub host: String,
    /// As the server saw it.
    pub address: Option<IpAddr>,
    /// As stated.
    pub project: Option<Box<str>>,
    /// The groups it is in, ascending.
    pub groups: Vec<GroupId>,
    asker: atoms::Asker,
}

/// Whose seats are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A user, folded.
    User(Box<str>),
    /// A host, folded.
    Host(Box<str>),
    /// A group of a `limit … per group`.
    Group(GroupId),
    /// A project.
    Project(Box<str>),
    /// All whom a reservation is for.
    Reservation(RuleId),
}

/// A limit that applies to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The rule that says so.
    pub rule: RuleId,
    /// At most so many seats.
    pub seats: u32,
    /// Whose.
    pub subject: Subject,
}

/// Whether a reservation names users or hosts, as USERBASED and HOSTBASED seats need (L63).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// It names users or groups of users.
    Users,
    /// It names hosts or groups of hosts, and no users.
    Hosts,
    /// Addresses, projects or everybody.
    Neither,
}

/// Seats of a feature kept for some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The rule that says so.
    pub rule: RuleId,
    /// How many.
    pub seats: u32,
    /// Of which kind.
    pub named: Named,
}
