//! Random policies and random requests, small enough that rules meet often.

use std::net::IpAddr;
use std::sync::Arc;

use seats::license::Name;
use seats::policy::{
    Access, Action, BorrowTerms, Features, Group, GroupId, Members, Network, Rule, RulePlace, RuleSet, Scope,
    Who,
};
use seats::request::Facts;

/// SplitMix64: the same seed, the same policy.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `end`, without `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn one_of<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn some<T>(&mut self, most: usize, mut make: impl FnMut(&mut Random) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    fn user(&mut self) -> Box<str> {
        self.one_of(&["ann", "Ann", "ACME\\ANN", "bob", "cleo", "dan", "eve", "Äda", "äda", ""]).into()
    }

    fn host(&mut self) -> Box<str> {
        self.one_of(&[
            "ws1",
            "WS1.acme.example",
            "ws1.other.example",
            "ws2",
            "ws3",
            "lab1",
            "10.1.2.3",
            "10.1.2.4",
        ])
        .into()
    }

    fn project(&mut self) -> Box<str> {
        self.one_of(&["falcon", "Falcon", "eagle", "owl", ""]).into()
    }

    fn address(&mut self) -> IpAddr {
        let texts = [
            "10.1.2.3",
            "10.1.2.4",
            "10.1.3.4",
            "10.2.0.1",
            "192.168.0.1",
            "255.255.255.255",
            "0.0.0.0",
            "::ffff:10.1.2.3",
            "::ffff:192.168.0.1",
            "::1",
            "fd00::1",
            "fd00::2",
            "fd01::1",
            "2001:db8:1::7",
            "::",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ];
        self.one_of(&texts).parse().expect("an address")
    }

    fn network(&mut self) -> Network {
        let address = self.address();
        let lengths: &[u8] =
            if address.is_ipv4() { &[0, 7, 8, 16, 24, 31, 32] } else { &[0, 1, 7, 8, 48, 64, 127, 128] };
        // Host bits are left as they are: it is the range that counts.
        Network { address, prefix: lengths[self.below(lengths.len())] }
    }

    fn vendor(&mut self) -> Name {
        Name::new(self.one_of(&["ACME", "Acme", "Orb"])).expect("a name")
    }

    fn feature(&mut self) -> Name {
        Name::new(self.one_of(&["cad", "CAD", "cam", "sim"])).expect("a name")
    }

    fn features(&mut self) -> Features {
        if self.one_in(3) {
            return Features::All;
        }
        let named = |r: &mut Random| (if r.one_in(3) { Some(r.vendor()) } else { None }, r.feature());
        Features::Named((0..=self.below(3)).map(|_| named(self)).collect())
    }

    fn access(&mut self) -> Access {
        if self.one_in(2) { Access::Allow } else { Access::Deny }
    }

    fn action(&mut self) -> Action {
        let seats = self.below(9) as u32;
        match self.below(13) {
            0 | 1 => Action::Access(self.access()),
            2 | 3 => Action::Reserve(seats),
            4 => Action::Limit(seats, Scope::User),
            5 => Action::Limit(seats, Scope::Host),
            6 | 7 => Action::Limit(seats, Scope::Group),
            8 => Action::Limit(seats, Scope::Project),
            9 => {
                let access = self.access();
                Action::Borrow(BorrowTerms { access, hours: Some(seats), seats: None, per_user: None })
            }
            10 => Action::Idle(self.number() % 1000),
            11 => Action::FastQueue,
            _ if self.one_in(2) => Action::Book(self.access()),
            _ => Action::Why(self.access()),
        }
    }

    fn who(&mut self, groups: usize) -> Who {
        let mut who = Who::default();
        if self.one_in(5) {
            return who;
        }
        if self.one_in(3) {
            who.users = self.some(3, Random::user);
        }
        if self.one_in(4) {
            who.hosts = self.some(3, Random::host);
        }
        if self.one_in(4) {
            who.addresses = self.some(4, Random::network);
        }
        if self.one_in(4) {
            who.projects = self.some(2, Random::project);
        }
        if groups > 0 && self.one_in(2) {
            who.groups = self.some(4, |r| GroupId(r.below(groups) as u32));
        }
        who
    }

    fn members(&mut self) -> Members {
        match self.below(4) {
            0 => Members::Users(self.some(4, Random::user)),
            1 => Members::Hosts(self.some(4, Random::host)),
            2 => Members::Addresses(self.some(4, Random::network)),
            _ => Members::Projects(self.some(3, Random::project)),
        }
    }

    pub(crate) fn rules(&mut self) -> RuleSet {
        let place = || RulePlace { file: Arc::from("random"), line: 1, column: 1, text: "".into() };
        let group = |r: &mut Random| Group { name: "".into(), members: r.members(), place: place() };
        let groups = self.some(8, group);
        let most = [0, 3, 12, 40][self.below(4)];
        let count = groups.len();
        let rule = |r: &mut Random| Rule {
            action: r.action(),
            features: r.features(),
            who: r.who(count),
            place: place(),
        };
        RuleSet { rules: self.some(most, rule), groups }
    }

    pub(crate) fn facts(&mut self) -> Facts {
        Facts {
            install_id: [0; 16],
            user: self.user(),
            host: self.host(),
            address: if self.one_in(5) { None } else { Some(self.address()) },
            platform: "linux-x86_64".into(),
            offset_minutes: 0,
            display: None,
            project: if self.one_in(3) { None } else { Some(self.project()) },
            share: None,
            release_version: None,
            release_date: None,
            line_date: None,
            host_ids: Vec::new(),
        }
    }

    pub(crate) fn wanted(&mut self) -> (Name, Name) {
        (self.vendor(), self.feature())
    }
}
