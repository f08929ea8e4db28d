//! How long the processes take, so that the driver can say when it will be done.

use neap_workloads::workload::Kind;

use super::options::Options;

/// Seconds that one process of a kind takes, learnt as they run.
pub struct Pace {
    speed: f64,
    paced: f64,
    idle: f64,
    program: f64,
}

impl Pace {
    /// What is expected before anything ran.
    pub fn new(options: &Options) -> Self {
        let scale = options.scale();
        Pace {
            speed: scale.pick(0.6, 0.2, 0.1),
            paced: scale.pick(6.5, 3.5, 0.5),
            idle: scale.pick(4.0, 1.6, 0.5),
            program: scale.pick(6.0, 3.0, 0.5),
        }
    }

    /// Seconds a process of that kind takes.
    pub fn of(&mut self, kind: Kind) -> &mut f64 {
        match kind {
            Kind::Speed => &mut self.speed,
            Kind::Paced => &mut self.paced,
            Kind::Idle => &mut self.idle,
            Kind::Program => &mut self.program,
        }
    }

    /// Takes a process that took `seconds` into account.
    pub fn learn(&mut self, kind: Kind, seconds: f64) {
        let pace = self.of(kind);
        *pace += (seconds - *pace) / 10.0;
    }
}
