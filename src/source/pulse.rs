//! Work of many steps in one turn of the loop, each of which may wait for a slow file system: that it goes on is
//! said to whoever watches over the process. One call that hangs says nothing.

use std::cell::{Cell, RefCell};

/// So many steps are one beat: what is done then costs them nothing, and they take less than systemd waits, be it
/// a tenth of a second for each.
const STEPS: u32 = 256;

type Beat = Box<dyn FnMut()>;

thread_local! {
    static STEP: Cell<u32> = const { Cell::new(0) };
    static BEAT: RefCell<Option<Beat>> = const { RefCell::new(None) };
}

/// What is done at each beat of this thread from now on.
pub fn at_each_beat(beat: impl FnMut() + 'static) {
    BEAT.set(Some(Box::new(beat)));
}

/// One of many steps is done.
pub(super) fn step() {
    let done = (STEP.get() + 1) % STEPS;
    STEP.set(done);
    if done == 0 {
        BEAT.with_borrow_mut(|beat| beat.iter_mut().for_each(|beat| beat()));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::rc::Rc;

    use super::*;
    use crate::source::scene::Scene;

    #[test]
    fn a_listing_of_many_names_says_that_it_goes_on() {
        let mut scene = Scene::new("pulse");
        let dir = scene.files.config.spool_dir.clone();
        for n in 0..4 * STEPS {
            fs::write(dir.join(format!("other-{n}")), "").unwrap();
        }
        let beats = Rc::new(Cell::new(0));
        let count = Rc::clone(&beats);
        at_each_beat(move || count.set(count.get() + 1));
        scene.files.refresh(true);
        assert!((4..8).contains(&beats.get()), "{}", beats.get());
    }
}
