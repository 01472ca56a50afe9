//! Many files at once: read, typed, verified, on all cores.
//!
//! Features are taken in runs of [`RUN`] whatever file they are in, so that one file of 100,000 features and
//! 10,000 files of ten are the same work, and signatures come in batches.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use seats::license::{HostIdEntry, License, Name, Place, Reason, Refusal, Signed, is_locked_to_key};
use seats::releases::ReleaseList;

use super::position::LineIndex;
use super::releases::CheckedList;
use super::settings::{self, Checked};
use super::trust::{self, Claim, TrustedKey, refusal};
use super::xml::{self, Document, Fault, RawFeature, Root};
use super::{FILE_PROBLEMS_MAX, Problem, Signatures, canonical, releases};
use crate::hostid::HostFacts;

/// Features typed and verified in one go. What a batch of signatures costs beside each signature is shared by all
/// of them, so more is cheaper; much more would not spread evenly over the cores.
const RUN: usize = 4_096;

/// What licenses are judged by.
pub(super) struct Judge<'j> {
    pub(super) trusted: &'j [TrustedKey],
    pub(super) signatures: Signatures,
    /// `None`: licenses of other hosts are good too, as a vendor needs it.
    pub(super) facts: Option<&'j HostFacts>,
}

/// One file's bytes, under the name it has in the directory.
pub(super) struct Source<'s> {
    pub(super) file: Arc<str>,
    pub(super) bytes: &'s [u8],
}

/// What one well-formed file says.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) licenses: Vec<Arc<License>>,
    pub(super) releases: Vec<Arc<ReleaseList>>,
    /// By position; at most [`FILE_PROBLEMS_MAX`] in full, and one line that counts the rest.
    pub(super) problems: Vec<Problem>,
}

/// A well-formed file between the two passes.
struct Open<'a> {
    file: Arc<str>,
    document: Document<'a>,
    lines: LineIndex<'a>,
}

/// Reads every file. One answer a file, in their order; the error is the fault that makes the file unusable.
pub(super) fn load(sources: &[Source<'_>], judge: &Judge<'_>) -> Vec<Result<Loaded, Problem>> {
    let opened = in_parallel(sources.len(), |index| sources.get(index).map(open));
    let opened: Vec<Result<Open<'_>, Problem>> = opened.into_iter().flatten().collect();
    let features: Vec<(usize, &Open<'_>, &RawFeature<'_>)> = opened
        .iter()
        .enumerate()
        .filter_map(|(index, open)| Some((index, open.as_ref().ok()?)))
        .flat_map(|(index, open)| open.document.features.iter().map(move |feature| (index, open, feature)))
        .collect();
    let runs: Vec<&[(usize, &Open<'_>, &RawFeature<'_>)]> = features.chunks(RUN).collect();
    let judged = in_parallel(runs.len(), |index| runs.get(index).map(|run| judge.run(run)));

    let mut answers: Vec<Result<Gathered, Problem>> = opened
        .iter()
        .map(|open| match open {
            Ok(open) => Ok(Gathered { found: open.own_problems(), ..Gathered::default() }),
            Err(problem) => Err(problem.clone()),
        })
        .collect();
    for run in judged.into_iter().flatten() {
        for (index, license) in run.licenses {
            if let Some(Ok(gathered)) = answers.get_mut(index) {
                gathered.licenses.push(license);
            }
        }
        for (index, list) in run.releases {
            if let Some(Ok(gathered)) = answers.get_mut(index) {
                gathered.releases.push(list);
            }
        }
        for (index, more) in run.found {
            if let Some(Ok(gathered)) = answers.get_mut(index) {
                gathered.found.add(more);
            }
        }
    }
    let finish = |gathered: Gathered| {
        let Gathered { licenses, releases, found } = gathered;
        Loaded { licenses, releases, problems: found.into_problems() }
    };
    answers.into_iter().map(|answer| answer.map(finish)).collect()
}

fn open<'s>(source: &Source<'s>) -> Result<Open<'s>, Problem> {
    let text = xml::decode(source.bytes);
    let result = match &text {
        Ok(text) => xml::read(text).map_err(|fault| (*text, fault)),
        // The part that is UTF-8 tells the position.
        Err(fault) => {
            let good = source.bytes.get(..fault.at).and_then(|bytes| std::str::from_utf8(bytes).ok());
            Err((good.unwrap_or(""), fault.clone()))
        }
    };
    match result {
        Ok(document) => {
            let text = text.unwrap_or("");
            Ok(Open { file: source.file.clone(), document, lines: LineIndex::new(text) })
        }
        Err((text, fault)) => {
            // One position: the text before it is all that need be counted.
            let before = text.get(..text.floor_char_boundary(fault.at)).unwrap_or("");
            Err(problem(&source.file, &LineIndex::new(before), None, &fault))
        }
    }
}

impl Open<'_> {
    /// Faults outside every feature.
    fn own_problems(&self) -> Found {
        let mut found = Found { dropped: self.document.faults_dropped, ..Found::default() };
        for fault in &self.document.faults {
            found.push(problem(&self.file, &self.lines, None, fault));
        }
        found
    }
}

/// Problems of one file: the first ones in full, the rest counted.
#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
    dropped: usize,
}

impl Found {
    fn push(&mut self, problem: Problem) {
        if self.problems.len() < FILE_PROBLEMS_MAX {
            self.problems.push(problem);
        } else {
            self.dropped += 1;
        }
    }

    fn add(&mut self, more: Found) {
        self.dropped += more.dropped;
        more.problems.into_iter().for_each(|problem| self.push(problem));
    }

    fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        if self.dropped > 0
            && let Some(last) = self.problems.last().cloned()
        {
            let message = format!("and {} more problems in this file; mend these first", self.dropped);
            self.problems.push(Problem {
                line: None,
                column: None,
                feature: None,
                sn: None,
                message,
                reason: last.reason,
                file: last.file,
            });
        }
        self.problems
    }
}

/// What the runs have said so far of one file.
#[derive(Default)]
struct Gathered {
    licenses: Vec<Arc<License>>,
    releases: Vec<Arc<ReleaseList>>,
    found: Found,
}

#[derive(Default)]
struct Run {
    licenses: Vec<(usize, Arc<License>)>,
    releases: Vec<(usize, Arc<ReleaseList>)>,
    found: HashMap<usize, Found>,
}

/// What one FEATURE says, typed: a license, or the release list of a catalog.
enum Says {
    License(Box<Checked>),
    Releases(Box<CheckedList>),
}

impl Says {
    fn faults(&mut self) -> &mut Vec<Fault> {
        match self {
            Says::License(checked) => &mut checked.faults,
            Says::Releases(checked) => &mut checked.faults,
        }
    }

    fn is_good(&self) -> bool {
        match self {
            Says::License(checked) => checked.faults.is_empty(),
            Says::Releases(checked) => checked.faults.is_empty(),
        }
    }

    fn key(&self) -> Option<&(String, usize)> {
        match self {
            Says::License(checked) => checked.key.as_ref(),
            Says::Releases(checked) => checked.key.as_ref(),
        }
    }

    fn vendor(&self) -> Option<&Name> {
        match self {
            Says::License(checked) => checked.license.as_ref().map(|license| &license.vendor),
            Says::Releases(checked) => checked.list.as_ref().map(|list| &list.vendor),
        }
    }
}

/// One feature, typed and not yet verified.
struct Candidate<'c> {
    index: usize,
    open: &'c Open<'c>,
    raw: &'c RawFeature<'c>,
    says: Says,
    canonical: Vec<u8>,
}

impl<'c> Candidate<'c> {
    fn new(index: usize, open: &'c Open<'c>, raw: &'c RawFeature<'c>) -> Candidate<'c> {
        let (says, canonical) = match open.document.root {
            Root::LicenseFile => (Says::License(settings::check(raw).into()), canonical::canonical(raw)),
            Root::Releases => {
                (Says::Releases(releases::check(raw).into()), canonical::canonical_releases(raw))
            }
        };
        Candidate { index, open, raw, says, canonical }
    }
}

impl Judge<'_> {
    fn run(&self, run: &[(usize, &Open<'_>, &RawFeature<'_>)]) -> Run {
        let mut candidates: Vec<Candidate<'_>> =
            run.iter().map(|(index, open, raw)| Candidate::new(*index, open, raw)).collect();
        for candidate in &mut candidates {
            self.require_signature(candidate);
        }
        // A feature that is refused for what it says needs no verification.
        let mut asked = Vec::new();
        let mut claims = Vec::new();
        for (position, candidate) in candidates.iter().enumerate() {
            if let (Some(vendor), Some((key, _)), true) =
                (candidate.says.vendor(), candidate.says.key(), candidate.says.is_good())
            {
                asked.push(position);
                claims.push(Claim { vendor, canonical: &candidate.canonical, key });
            }
        }
        let answers = trust::verify(self.trusted, &claims);
        let mut refused: HashMap<usize, Refusal> = asked
            .into_iter()
            .zip(answers)
            .filter_map(|(position, answer)| Some((position, answer?)))
            .collect();
        let mut result = Run::default();
        for (position, mut candidate) in candidates.into_iter().enumerate() {
            if let Some(refusal) = refused.remove(&position) {
                let at = candidate.says.key().map_or(candidate.raw.at, |(_, at)| *at);
                candidate.says.faults().push(Fault::new(at, refusal.reason, refusal.message));
            }
            self.judge(candidate, &mut result);
        }
        result
    }

    /// What KEY must be there for (L11).
    fn require_signature(&self, candidate: &mut Candidate<'_>) {
        if !candidate.says.is_good() {
            return;
        }
        let command = match &candidate.says {
            Says::License(_) => "seatkeeper vendor sign",
            Says::Releases(_) => "seatkeeper vendor catalog sign",
        };
        let (reason, message) = match candidate.says.key() {
            None if self.signatures == Signatures::Required => {
                let message = format!(
                    "it has no KEY, and this server takes signed licenses only; sign it with `{command} --key KEYFILE \
                     FILE`, or set signatures = \"optional\" for a trial"
                );
                (Reason::Unsigned, message)
            }
            Some(_) if candidate.raw.value("VENDOR").is_none() => {
                let message = "it is signed and has no VENDOR; ask the vendor for the file as it was signed";
                (Reason::BadValue, message.to_owned())
            }
            _ => return,
        };
        candidate.says.faults().push(Fault::new(candidate.raw.at, reason, message));
    }

    fn judge(&self, candidate: Candidate<'_>, result: &mut Run) {
        let Candidate { index, open, raw, says, canonical } = candidate;
        let (line, column) = open.lines.line_column(raw.at);
        let place = Place { file: open.file.clone(), line, column };
        let fingerprint = canonical::fingerprint(&canonical);
        let first = |faults: &[Fault]| faults.first().map(|f| refusal(f.reason, f.message.clone()));
        let faults = match says {
            Says::Releases(checked) => {
                let CheckedList { list, faults, .. } = *checked;
                if let Some(list) = list {
                    let list = ReleaseList { fingerprint, place, refusal: first(&faults), ..list };
                    result.releases.push((index, Arc::new(list)));
                }
                faults
            }
            Says::License(checked) => {
                let Checked { license, key, server_host_ids, mut faults, unsupported, .. } = *checked;
                if faults.is_empty() {
                    faults.extend(unsupported);
                }
                if faults.is_empty()
                    && let Some(license) = &license
                {
                    faults.extend(self.elsewhere(license, &server_host_ids, raw));
                }
                if let Some(mut license) = license {
                    license.carried.locked_to_key = is_locked_to_key(&server_host_ids, license.match_rate);
                    let key = key.map(|(key, _)| key).filter(|_| faults.is_empty());
                    license.signed =
                        key.map(|key| Arc::new(Signed { canonical: canonical.into(), key: key.into() }));
                    let license = License { fingerprint, place, refusal: first(&faults), ..license };
                    result.licenses.push((index, Arc::new(license)));
                }
                faults
            }
        };
        if faults.is_empty() {
            return;
        }
        let found = result.found.entry(index).or_default();
        for fault in &faults {
            if found.problems.len() < FILE_PROBLEMS_MAX {
                found.push(problem(&open.file, &open.lines, Some(raw), fault));
            } else {
                found.dropped += 1;
            }
        }
    }

    /// That the license is bound to another host than this (L12).
    fn elsewhere(
        &self,
        license: &License,
        server_host_ids: &[Vec<HostIdEntry>],
        raw: &RawFeature<'_>,
    ) -> Option<Fault> {
        if self.facts?.explain(server_host_ids, license.match_rate).matched {
            return None;
        }
        let at = raw.blocks.first().map_or(raw.at, |block| block.at);
        let message = format!(
            "it is bound to another server; `seatkeeper hostid --explain {}` shows what does not match, `seatkeeper hostid` \
             what to send to the vendor",
            license.feature
        );
        Some(Fault::new(at, Reason::HostMismatch, message))
    }
}

pub(super) fn problem(
    file: &Arc<str>,
    lines: &LineIndex<'_>,
    raw: Option<&RawFeature<'_>>,
    fault: &Fault,
) -> Problem {
    let (line, column) = lines.line_column(fault.at);
    let feature = raw.and_then(|raw| raw.name.as_ref()).map(|name| xml::shown(&name.value));
    let sn = raw.and_then(|raw| raw.value("SN")).map(xml::shown);
    Problem {
        file: file.clone(),
        line: Some(line),
        column: Some(column),
        feature,
        sn,
        reason: fault.reason,
        message: fault.message.clone(),
    }
}

/// Does `work` for 0 to `n` - 1 on as many threads as there are cores; answers in order.
fn in_parallel<T: Send>(n: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(n);
    if cores <= 1 {
        return (0..n).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let worker = || {
            let mut mine = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= n {
                    return mine;
                }
                mine.push((index, work(index)));
            }
        };
        let handles: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        let results = handles.into_iter().map(|handle| match handle.join() {
            Ok(mine) => mine,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.flatten().collect()
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, answer)| answer).collect()
}
