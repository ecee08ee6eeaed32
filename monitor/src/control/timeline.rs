//! Where the inputs of a run come from, and travel in a recorded one.

use super::{ControlError, Marks};
use dejavm_core::boundary::{StopCondition, StopHit};
use dejavm_core::types::Icount;
use dejavm_replay::checkpoint::Summary;

/// Where the inputs of the run come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From outside, and nothing is written down.
    Live,
    /// From outside, into a journal.
    Record {
        /// The journal's path.
        file: String,
    },
    /// From a journal.
    Replay {
        /// The journal's path.
        file: String,
    },
}

/// Travel in a recorded run.
pub trait Timeline {
    /// Where the inputs come from.
    fn mode(&self) -> Mode;
    /// Goes to the position before the instruction with this count, then stands still.
    ///
    /// # Errors
    /// If the run is not a replay, or the recording is shorter.
    fn seek(&mut self, icount: Icount) -> Result<(), ControlError>;
    /// Sets out for the position before the instruction with this count. The machine runs until
    /// it arrives, and [`super::RunEvent::Arrived`] tells when.
    ///
    /// # Errors
    /// If the run is not a replay, or the recording is shorter.
    fn begin_seek(&mut self, icount: Icount) -> Result<(), ControlError>;
    /// The last icount that the recording knows; `None` if the run is not a replay.
    fn last_icount(&self) -> Option<Icount>;
    /// Stops the run each time it comes to `icount`.
    ///
    /// # Errors
    /// If the run is not a replay, or is past it.
    fn set_break(&mut self, icount: Icount) -> Result<(), ControlError>;
    /// Removes what [`Self::set_break`] set: at `icount`, or all.
    ///
    /// # Errors
    /// If the run is not a replay, or there is none at `icount`.
    fn delete_break(&mut self, icount: Option<Icount>) -> Result<(), ControlError>;
    /// Where the run will stop, in ascending order.
    fn breaks(&self) -> Vec<Icount>;
    /// The first icount of the recording; 0 if the run is not a replay.
    fn first_icount(&self) -> Icount {
        0
    }
    /// The last place before `here` at which the run stops; where the recording begins if there is none.
    fn break_before(&self, here: Icount) -> Icount {
        let first = self.first_icount();
        self.breaks().into_iter().rev().find(|&at| at < here).map_or(first, |at| at.max(first))
    }
    /// The icount of the place `count` instructions before `here`.
    ///
    /// # Errors
    /// If the recording begins behind that.
    fn steps_back(&self, here: Icount, count: u64) -> Result<Icount, ControlError> {
        let before = here.saturating_sub(self.first_icount());
        match count <= before {
            true => Ok(here - count),
            false => Err(ControlError::NotNow(format!("only {before} instructions lie before this one"))),
        }
    }
    /// Goes back to the last place before here at which `condition` holds, if there is one; then stands
    /// still.
    ///
    /// # Errors
    /// If the run is not a replay, or the search was interrupted.
    fn last_hit(&mut self, _condition: StopCondition) -> Result<Option<StopHit>, ControlError> {
        Err(ControlError::NotNow("replay must be enabled to go back".into()))
    }
    /// The named positions of the recording; `None` if nothing is recorded.
    fn marks(&mut self) -> Option<&mut Marks> {
        None
    }
    /// Writes them down, since they have changed.
    ///
    /// # Errors
    /// If the host refuses.
    fn keep_marks(&mut self) -> Result<(), ControlError> {
        Ok(())
    }
    /// The checkpoints that the run has; `None` if none are kept.
    fn checkpoints(&mut self) -> Option<Summary> {
        None
    }
    /// Leaves the recording where it stands and goes on as a new one, into a journal at `path`.
    ///
    /// # Errors
    /// If the run is not a replay, is over here, or the journal cannot be made.
    fn go_live(&mut self, path: &str) -> Result<(), ControlError>;
}
