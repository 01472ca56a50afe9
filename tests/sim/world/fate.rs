//! What befalls the daemon and its clients: steps, deaths, starts, and troubles of all kinds.

use super::*;
use crate::licenses::LENT_HOURS_MAX;

/// So often in the hours after everybody has gone, in which only what is lent is left.
const HOURS_IDLE_MS: u64 = 600_000;

/// How a step has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stepped {
    Well,
    /// The disk failed, and the process is about to end.
    Failed,
    /// The power is gone, and the process with it.
    Dark,
}

impl World {
    /// One step of the engine.
    pub(super) fn step(&mut self) -> Result<Stepped, Fault> {
        let Some(daemon) = &mut self.daemon else { return Ok(Stepped::Well) };
        if self.is_doomed {
            self.dump_before = Some(daemon.dump());
        }
        let unix_ms = self.unix_ms + i64::try_from(self.now).expect("minutes");
        daemon.set_clock(self.now, unix_ms);
        for then in daemon.reloads() {
            then("{}".to_owned());
        }
        let operations = self.disk.memory.operations();
        let failed = daemon.step().err();
        // In what is done ahead of need: the step was synced, and nobody will hear of it.
        let is_dark = failed.is_none() && self.disk.memory.is_off();
        if failed.is_none() && !is_dark && self.disk.memory.operations() == operations {
            self.checker.stepped_idly(self.now, unix_ms)?;
        } else {
            self.checker.stepped(
                self.now,
                unix_ms,
                daemon.seen(),
                failed.is_some() || is_dark,
                &mut self.trace,
            )?;
        }
        self.is_stirred = true;
        let due = if daemon.has_background_work() {
            1
        } else {
            daemon.due_in().unwrap_or(u64::MAX).min(self.idle_ms)
        };
        self.step_at = self.now + due.max(1);
        Ok(match failed {
            Some(error) => {
                self.trace.say(self.now, format!("the daemon ends: {error}"));
                Stepped::Failed
            }
            None if is_dark => {
                self.trace.say(self.now, "the power is gone".into());
                Stepped::Dark
            }
            None => {
                self.dump_before = None;
                Stepped::Well
            }
        })
    }

    /// The daemon is going to die, in one way or another.
    pub(super) fn doom(&mut self) -> Result<(), Fault> {
        match self.random.below(6) {
            // In the middle of what it will write.
            0..=2 => {
                let operations = self.random.ms(1, 6);
                self.trace.say(self.now, format!("the power goes after {operations} operations of the disk"));
                self.disk.memory.power_off_after(operations);
                self.is_doomed = true;
                Ok(())
            }
            3 => {
                let n = self.random.ms(1, 3);
                self.trace.say(self.now, format!("sync {n} from now fails"));
                self.disk.memory.fail_sync(n);
                self.is_doomed = true;
                Ok(())
            }
            4 => {
                self.trace.say(self.now, "kill -9".into());
                self.die()
            }
            _ => {
                self.is_stopping = true;
                Ok(())
            }
        }
    }

    /// SIGTERM (S64): the last batch is synced, connections flush, the process ends.
    pub(super) async fn stop(&mut self) -> Result<(), Fault> {
        self.trace.say(self.now, "SIGTERM".into());
        let Some(daemon) = &self.daemon else { return Ok(()) };
        // Where the queue is full the real one waits a moment; here it is killed with its queue.
        if daemon.handle.ask(Ask::Stop(Box::new(|()| ()))).is_ok() {
            match self.step()? {
                Stepped::Dark => return self.die(),
                Stepped::Well | Stepped::Failed => self.pass(self.now + 1).await,
            }
            self.collect()?;
        }
        if let Some(daemon) = &self.daemon {
            daemon.close();
        }
        self.pass(self.now + 1).await;
        self.die()
    }

    /// The process is gone. What it wrote to its sockets before has left.
    pub(super) fn die(&mut self) -> Result<(), Fault> {
        self.collect()?;
        let Some(daemon) = self.daemon.take() else { return Ok(()) };
        self.checker.died(self.dump_before.take(), daemon.dump());
        drop(daemon);
        for conn in 0..self.cables.len() {
            if self.cables[conn].is_dead() {
                continue;
            }
            self.cables[conn].die();
            self.checker.ended(self.now, conn);
            // A machine that lost its power says no goodbye.
            if self.random.percent(80) {
                let at = self.now + self.random.ms(1, 100);
                self.at(at, Event::Packet(conn, Packet::DownEnd));
            }
        }
        // kill -9 leaves the kernel's buffers as they are.
        if std::mem::take(&mut self.is_doomed) || self.random.percent(60) {
            self.disk.memory.restart();
        }
        let down = if self.is_calm { 10 } else { self.random.ms(10, 20_000) };
        self.at(self.now + down, Event::Start);
        Ok(())
    }

    pub(super) fn start_daemon(&mut self) -> Result<(), Fault> {
        if !self.is_calm && self.has_started && self.random.percent(10) {
            let operations = self.random.ms(1, 8);
            self.disk.memory.power_off_after(operations);
            self.is_doomed = true;
        }
        let clock = (self.now, self.unix_ms + i64::try_from(self.now).expect("minutes"));
        // Where the journal was never made whole, there is none yet.
        let is_first = !self.has_started;
        match Daemon::start(&self.plan, &self.disk, &self.catalog, clock, is_first) {
            Ok((daemon, found)) => {
                self.trace.say(self.now, "the daemon starts".into());
                self.checker.started(self.now, clock.1, found, daemon.seen(), &mut self.trace)?;
                (self.daemon, self.has_started) = (Some(daemon), true);
                self.step_at = self.now;
                Ok(())
            }
            Err(error) if self.disk.memory.is_off() => {
                self.trace.say(self.now, format!("the daemon cannot start: {error}"));
                self.checker.failed_to_start(clock.0, clock.1);
                self.disk.memory.restart();
                self.is_doomed = false;
                let at = self.now + self.random.ms(10, 1_000);
                self.at(at, Event::Start);
                Ok(())
            }
            Err(error) => Err(Fault::disk(format!("the journal cannot be read: {error}"))),
        }
    }

    /// Something befalls a client, the network, the clock or the licenses.
    pub(super) fn trouble(&mut self) {
        let client = self.random.below(self.clients.len());
        let now = self.now;
        match self.random.below(12) {
            0..=2 => {
                let until = now + self.random.ms(500, self.plan.lease * 3);
                self.trace.say(now, format!("client {client} sleeps until {until}"));
                self.clients[client].sleep(until);
                self.wake(client, until);
            }
            3 | 4 => self.crash(client),
            5 | 6 => {
                if let Some(conn) = self.clients[client].conn() {
                    self.trace.say(now, format!("#{conn} breaks"));
                    let mut weather =
                        Weather { random: &mut self.random, cuts: 0, stalls: 0, is_calm: self.is_calm };
                    let packets = self.cables[conn].cut(now, &mut weather);
                    self.set_out(conn, packets);
                }
            }
            7 | 8 => self.reload(),
            9 | 10 => self.step_clock(),
            _ => {
                // A late one.
                let at = now + self.random.ms(1, 3_000);
                self.step_at = self.step_at.max(at);
                self.trace.say(now, format!("the disk takes its time, until {at}"));
            }
        }
    }

    /// kill -9 of a client, or its machine is gone.
    fn crash(&mut self, client: usize) {
        self.trace.say(self.now, format!("client {client} crashes"));
        if let Some(conn) = self.clients[client].conn() {
            if self.random.percent(75) {
                self.give_up(conn);
            } else {
                // Nobody tells the server.
                self.cables[conn].is_given_up = true;
            }
        }
        self.clients[client].crash();
        let at = self.now + self.random.ms(100, 20_000);
        self.wake(client, at);
    }

    /// Another license directory (L23).
    fn reload(&mut self) {
        let Some(daemon) = &self.daemon else { return };
        let today = (self.unix_ms + i64::try_from(self.now).expect("minutes")).div_euclid(DAY_MS);
        self.sheet = Sheet::draw(&mut self.random, today, self.plan.lends);
        self.catalog = self.sheet.catalog(more(&self.plan));
        if daemon.handle.ask(Ask::Catalog(self.catalog.clone(), Box::new(|()| ()))).is_err() {
            // The queue is full: the keeper would wait, the simulation tries no more.
            self.sheet = self.checker.sheet().clone();
            self.catalog = self.sheet.catalog(more(&self.plan));
            return;
        }
        self.trace.say(self.now, format!("licenses:{}", self.sheet));
        self.checker.reloaded(self.sheet.clone());
        self.step_at = self.step_at.min(self.now + 1);
    }

    /// Somebody sets the wall clock: by hours, and in a wild history by days.
    fn step_clock(&mut self) {
        let hour = 3_600_000;
        let right = self.plan.unix_ms;
        self.unix_ms = match self.plan.is_wild_clock {
            true => right + self.random.within(-5 * DAY_MS, 5 * DAY_MS),
            false => right + self.random.within(-11 * hour, 11 * hour),
        };
        self.unix_ms_max = self.unix_ms_max.max(self.unix_ms);
        let by = self.unix_ms - right;
        self.trace.say(self.now, format!("the wall clock is set to {by} ms beside the right time"));
    }

    /// As many hours pass as anything can be lent for, by a clock that is right again.
    pub(super) async fn outlast_what_is_lent(&mut self) -> Result<(), Fault> {
        const HOUR_MS: u64 = 3_600_000;
        self.trace.say(self.now, "hours pass".into());
        self.unix_ms = self.unix_ms_max;
        self.idle_ms = HOURS_IDLE_MS;
        // A clock that has jumped ahead is believed after an hour.
        let hours = u64::from(LENT_HOURS_MAX) + 2;
        self.go_on(self.now + hours * HOUR_MS, |_| false).await
    }
}
