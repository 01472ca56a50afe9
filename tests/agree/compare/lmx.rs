//! `lmxendutil -licstat` and `-licstatxml`.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::Event;
use serde_json::Value;

use super::{
    Differences, Local, between, features, in_use, is_token, sessions, text, total, vendor, version, word,
};
use crate::outputs::Told;

/// For programs want a number.
const UNLIMITED: u64 = 2_147_483_647;
const RULE: &str = "----------------------------------------\n";

/// A feature as both outputs tell it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shown {
    name: String,
    version: String,
    vendor: String,
    start: String,
    end: String,
    /// In the text only.
    key_type: Option<String>,
    share: Vec<String>,
    used: String,
    total: String,
    denied: String,
    uses: Vec<Use>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Use {
    count: String,
    user: String,
    host: String,
    address: String,
    login: String,
    checkout: String,
    share: Option<String>,
    borrowed_until: Option<String>,
}

/// By the status.
fn expected(told: &Told, local: &Local, is_text: bool) -> Vec<Shown> {
    let started = text(&told.status["server"], "started_at");
    let minute = |instant: &str| local.civil(instant).format("%Y-%m-%d %H:%M").to_string();
    let one = |s: &Value, f: &Value| {
        let at = minute(s["since"].as_str().unwrap_or(started));
        let pool = f["pools"].as_array().into_iter().flatten().find(|p| p["id"] == s["pool"]);
        let is_custom = pool.unwrap_or(f)["share"].as_array().is_some_and(|s| s.contains(&"CUSTOM".into()));
        let share = s["share"].as_str().filter(|share| is_custom && !share.is_empty());
        let (user, host) = (text(s, "user"), text(s, "host"));
        Use {
            count: s["count"].to_string(),
            user: if is_text { word(user, '_', false) } else { user.into() },
            host: if is_text { word(host, '-', true) } else { host.into() },
            address: s["address"].as_str().unwrap_or("127.0.0.1").into(),
            login: at.clone(),
            checkout: at,
            share: share.map(|share| if is_text { word(share, '_', false) } else { share.into() }),
            borrowed_until: s["borrowed_until"].as_str().map(minute),
        }
    };
    let of = |f: &Value| {
        let flags: Vec<String> =
            f["share"].as_array().into_iter().flatten().filter_map(|w| w.as_str().map(Into::into)).collect();
        let first_pool = f["pools"].as_array().into_iter().flatten().find(|pool| {
            pool["licenses"].as_array().is_some_and(|l| !l.is_empty())
                || sessions(told, f).any(|s| s["pool"] == pool["id"])
        });
        // Who sees counts only sees no pools.
        let unseen = if is_token(f) { "TOKEN" } else { "EXCLUSIVE" };
        let key_type = first_pool.map_or(unseen, |pool| text(pool, "key_type"));
        Shown {
            name: text(f, "name").into(),
            version: version(&f["version"]),
            vendor: vendor(f).into(),
            start: f["start"].as_str().unwrap_or("NONE").into(),
            end: f["end"].as_str().unwrap_or("NONE").into(),
            key_type: is_text.then(|| key_type.into()),
            share: if flags.is_empty() { vec!["NONE".into()] } else { flags },
            used: in_use(f).to_string(),
            total: total(f).unwrap_or(UNLIMITED).to_string(),
            denied: f["denials_24h"].as_u64().unwrap_or(0).to_string(),
            uses: sessions(told, f).map(|s| one(s, f)).collect(),
        }
    };
    features(told).map(of).collect()
}

fn compare(there: &[Shown], here: &[Shown], found: &mut Differences) {
    found.same("how many features", &there.len(), &here.len());
    for (there, here) in there.iter().zip(here) {
        found.same(&format!("{}/{}", there.vendor, there.name), there, here);
    }
}

pub(crate) fn compare_text(
    told: &Told,
    out: &str,
    local: &Local,
    found: &mut Differences,
) -> Result<(), String> {
    let mut parts = out.split(RULE);
    let head = parts.next().unwrap_or_default();
    let server = &told.status["server"];
    let (major_minor, _) = text(server, "version").rsplit_once('.').unwrap_or_default();
    found.same(
        "the server's version",
        &true,
        &head.contains(&format!("\nServer version: v{major_minor} Uptime: ")),
    );
    if let Some(now) = &local.now {
        let seconds = (super::unix(now) - super::unix(text(server, "started_at"))).max(0);
        let uptime = format!(
            "Uptime: {} day(s) {} hour(s) {} min(s) {} sec(s)\n",
            seconds / 86_400,
            seconds / 3_600 % 24,
            seconds / 60 % 60,
            seconds % 60
        );
        found.same("uptime", &true, &head.ends_with(&uptime));
    }
    let here: Vec<Shown> = parts.map(feature_of_text).collect::<Result<_, _>>()?;
    compare(&expected(told, local, true), &here, found);
    Ok(())
}

fn feature_of_text(part: &str) -> Result<Shown, String> {
    let mut rest = part;
    let rest = &mut rest;
    let mut shown = Shown {
        name: between(rest, "Feature: ", " ")?.into(),
        version: between(rest, "Version: ", " ")?.into(),
        vendor: between(rest, "Vendor: ", "\n")?.into(),
        start: between(rest, "Start date: ", " ")?.into(),
        end: between(rest, "Expire date: ", "\n")?.into(),
        key_type: Some(between(rest, "Key type: ", " ")?.into()),
        share: between(rest, "License sharing: ", "\n")?.split(' ').map(Into::into).collect(),
        // Only where they are counted, and here they are.
        denied: between(rest, "", " denial(s) in last 24 hours\n\n")?.into(),
        used: between(rest, "", " of ")?.into(),
        total: between(rest, "", " license(s) used")?.into(),
        uses: Vec::new(),
    };
    let colon = between(rest, "", "\n")?;
    if (colon == ":") != (shown.used != "0") {
        return Err(format!("{}: {colon:?} after {}", shown.name, shown.used));
    }
    while !rest.is_empty() {
        let count = between(rest, "\n", " license(s) used by ")?.into();
        // A user may have an @, a host has none here.
        let (user, host) = between(rest, "", " [")?.rsplit_once('@').ok_or("no host")?;
        let mut one = Use {
            count,
            user: user.into(),
            host: host.into(),
            address: between(rest, "", "]\n")?.into(),
            login: between(rest, "    Login time: ", "   Checkout")?.into(),
            checkout: between(rest, " time: ", "\n")?.into(),
            ..Use::default()
        };
        let share = "    Shared on custom string: ";
        if rest.starts_with(share) {
            one.share = Some(between(rest, share, "\n")?.into());
        }
        let borrowed = "    Borrow expire time: ";
        if rest.starts_with(borrowed) {
            one.borrowed_until = Some(between(rest, borrowed, "\n")?.into());
        }
        shown.uses.push(one);
    }
    Ok(shown)
}

pub(crate) fn compare_xml(
    told: &Told,
    out: &str,
    local: &Local,
    found: &mut Differences,
) -> Result<(), String> {
    let mut here: Vec<Shown> = Vec::new();
    let mut reader = Reader::from_str(out);
    loop {
        let event = reader.read_event().map_err(|e| e.to_string())?;
        let (Event::Start(tag) | Event::Empty(tag)) = &event else {
            match event {
                Event::Eof => break,
                _ => continue,
            }
        };
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|e| e.to_string())?;
            let value =
                attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|e| e.to_string())?.into_owned();
            all.insert(attribute.key.as_ref().to_owned(), value);
        }
        let mut take = |name: &str| all.remove(name).ok_or_else(|| format!("no {name}"));
        match tag.name().as_ref() {
            "FEATURE" => here.push(Shown {
                name: take("NAME")?,
                version: take("VERSION")?,
                vendor: take("VENDOR")?,
                start: take("START")?,
                end: take("END")?,
                key_type: None,
                share: take("SHARE")?.split(" ,").map(Into::into).collect(),
                used: take("USED_LICENSES")?,
                total: take("TOTAL_LICENSES")?,
                denied: take("DENIED_LICENSES")?,
                uses: Vec::new(),
            }),
            "USER" => here.last_mut().ok_or("a user of nothing")?.uses.push(Use {
                count: take("USED_LICENSES")?,
                user: take("NAME")?,
                host: take("HOST")?,
                address: take("IP")?,
                login: take("LOGIN_TIME")?,
                checkout: take("CHECKOUT_TIME")?,
                share: take("SHARE_CUSTOM").ok(),
                borrowed_until: take("BORROW_EXPIRE_TIME").ok(),
            }),
            "LICENSE_PATH" => found.same("STATUS", &"SUCCESS".to_owned(), &take("STATUS")?),
            _ => {}
        }
    }
    compare(&expected(told, local, false), &here, found);
    Ok(())
}
