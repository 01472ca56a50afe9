//! Three real sites' options files, rebuilt: what each decides where it matters.

use seatkeeper::policy::read;
use seats::license::Name;
use seats::policy::{Access, Class, FeatureRules, Named, Policy, Subject};
use seats::request::{Facts, NameRules};

fn policy(name: &str, text: &str) -> Policy {
    let rules = read(name, text).unwrap_or_else(|errors| panic!("{errors:#?}"));
    Policy::new(rules, NameRules::default())
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// `user@host`, from an address, for a project.
fn class(policy: &Policy, who: &str, address: &str, project: &str) -> Class {
    let (user, host) = who.split_once('@').unwrap();
    policy.class(&Facts {
        install_id: [0; 16],
        user: user.into(),
        host: host.into(),
        address: address.parse().ok(),
        platform: "linux-x86_64".into(),
        offset_minutes: 0,
        display: None,
        project: (!project.is_empty()).then(|| project.into()),
        share: None,
        release_version: None,
        release_date: None,
        line_date: None,
        host_ids: Vec::new(),
    })
}

/// Whether, and the line of the rule.
fn access(policy: &Policy, rules: FeatureRules<'_>, class: &Class) -> (bool, String) {
    let (access, rule) = rules.access(class);
    (access == Access::Allow, rule.map_or_else(String::new, |rule| policy.rule(rule).place.text.to_string()))
}

/// The limits, a text each.
fn limits(policy: &Policy, rules: FeatureRules<'_>, class: &Class) -> Vec<String> {
    let shown = |subject: &Subject| match subject {
        Subject::User(name) => format!("user {name}"),
        Subject::Host(name) => format!("host {name}"),
        Subject::Project(name) => format!("project {name}"),
        Subject::Group(id) => format!("group {}", policy.group(*id).name),
        Subject::Reservation(id) => policy.rule(*id).place.text.to_string(),
    };
    rules.limits(class).map(|limit| format!("{} for {}", limit.seats, shown(&limit.subject))).collect()
}

/// The reservations that a session counts against.
fn draws_on(policy: &Policy, rules: FeatureRules<'_>, class: &Class) -> Vec<String> {
    let of = |subject: &Subject| match subject {
        Subject::Reservation(id) => Some(policy.rule(*id).place.text.to_string()),
        _ => None,
    };
    rules.counted(class).iter().filter_map(of).collect()
}

#[test]
fn the_university_keeps_its_lab_and_its_students_apart() {
    let policy = policy("university.toml", include_str!("fixtures/university.toml"));
    let vendor = name("MATHCO");
    let (analysis, optim, fieldsolver) = (name("analysis"), name("optim"), name("fieldsolver"));
    let [analysis, optim, fieldsolver] = [&analysis, &optim, &fieldsolver].map(|f| policy.of(&vendor, f));
    let ann = class(&policy, "Ann@lab2.uni.example", "192.0.2.17", "");
    let cleo = class(&policy, "cleo@home", "10.8.3.4", "");
    let prof = class(&policy, "UNI\\prof@office", "192.0.2.9", "");
    let stranger = class(&policy, "ann@cafe", "198.51.100.7", "");

    assert_eq!(limits(&policy, analysis, &ann), ["1 for user ann"]);
    assert_eq!(draws_on(&policy, analysis, &ann), ["reserve 3 of analysis for host group lab"]);
    assert_eq!(draws_on(&policy, analysis, &cleo), [""; 0], "she sits at home");
    assert_eq!(limits(&policy, analysis, &prof), [""; 0]);
    assert_eq!(limits(&policy, optim, &cleo), ["5 for group students"]);
    assert_eq!(access(&policy, fieldsolver, &ann), (false, "deny fieldsolver for group students".into()));
    assert!(access(&policy, fieldsolver, &cleo).0, "her thesis");
    assert!(access(&policy, fieldsolver, &prof).0);
    assert_eq!(access(&policy, analysis, &stranger), (false, "deny * for everyone".into()));
    assert!(analysis.idle(&prof).is_some_and(|(_, ms)| ms == 7_200_000));
    assert_eq!(optim.idle(&prof), None);
    assert!(
        analysis.borrow(&prof).is_some_and(|(_, terms)| terms.hours == Some(72) && terms.per_user == Some(1))
    );
    assert!(analysis.borrow(&ann).is_some_and(|(_, terms)| terms.access == Access::Deny));
}

#[test]
fn the_studios_farm_leaves_seats_for_the_artists() {
    let policy = policy("studio.toml", include_str!("fixtures/studio.toml"));
    let vendor = name("FX");
    let (renderer, compositor) = (name("renderer"), name("compositor"));
    let (renderer, compositor) = (policy.of(&vendor, &renderer), policy.of(&vendor, &compositor));
    let node = class(&policy, "render@RN003.farm.example", "10.1.1.3", "");
    let artist = class(&policy, "zoe@ws2", "10.1.2.2", "");
    let wanda = class(&policy, "wanda@ws9", "10.1.2.9", "");

    assert_eq!(limits(&policy, renderer, &node), ["6 for group farm"]);
    assert_eq!(limits(&policy, renderer, &artist), [""; 0]);
    assert_eq!(draws_on(&policy, renderer, &artist), ["reserve 2 of renderer for host group stations"]);
    assert_eq!(draws_on(&policy, renderer, &node), [""; 0]);
    assert!(renderer.reservations().iter().all(|r| r.seats == 2 && r.named == Named::Hosts));
    assert_eq!(access(&policy, compositor, &node), (false, "deny compositor for host group farm".into()));
    assert_eq!(access(&policy, compositor, &artist), (true, String::new()), "no rule: allowed");
    assert_eq!(limits(&policy, compositor, &artist), ["1 for host ws2"]);
    assert!(compositor.borrow(&artist).is_some_and(|(_, terms)| terms.seats == Some(2)));
    assert!(renderer.fast_queue(&node).is_some() && compositor.fast_queue(&node).is_none());
    assert!(renderer.book(&wanda).is_some_and(|(_, access)| access == Access::Allow));
    assert!(renderer.book(&node).is_some_and(|(_, access)| access == Access::Deny));
    assert!(compositor.book(&wanda).is_none());
    assert!(compositor.why(&artist).is_some_and(|(_, access)| access == Access::Allow));
}

#[test]
fn the_chip_designers_tokens_go_to_who_pays_for_them() {
    let policy = policy("chip.toml", include_str!("fixtures/chip.toml"));
    let (eda, other) = (name("EDA"), name("OTHER"));
    let (token, signoff) = (name("sim_token"), name("signoff"));
    let (tokens, signoff, others) =
        (policy.of(&eda, &token), policy.of(&eda, &signoff), policy.of(&other, &signoff));
    let falcon = class(&policy, "vera@c1", "10.1.0.1", "falcon-b0");
    let owl = class(&policy, "lars@c2", "10.1.0.2", "owl");
    let idler = class(&policy, "lars@c2", "10.1.0.2", "");
    let contractor = class(&policy, "vera@c3", "10.9.0.3", "falcon");
    let trespasser = class(&policy, "lars@c2", "10.1.0.2", "falcon");

    assert_eq!(draws_on(&policy, tokens, &falcon), ["reserve 20 of EDA/SIM_TOKEN for project group falcon"]);
    assert_eq!(limits(&policy, tokens, &falcon), ["8 for user vera", "24 for group verification"]);
    assert_eq!(
        limits(&policy, tokens, &owl),
        ["8 for user lars", "24 for group layout", "40 for project owl"]
    );
    assert_eq!(limits(&policy, tokens, &idler), ["8 for user lars", "24 for group layout"]);
    assert!(access(&policy, signoff, &falcon).0);
    assert_eq!(
        access(&policy, signoff, &contractor),
        (false, "deny EDA/signoff for address group contractors".into())
    );
    let both = "deny EDA/signoff for everyone";
    assert_eq!(access(&policy, signoff, &owl), (false, both.into()));
    assert_eq!(
        access(&policy, signoff, &trespasser),
        (false, both.into()),
        "the project alone is not enough"
    );
    assert!(others.is_open(), "another vendor's feature of that name");
    assert!(tokens.idle(&owl).is_some_and(|(_, ms)| ms == 1_800_000));
    assert_eq!(tokens.idle(&falcon), None);
}
