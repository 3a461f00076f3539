//! Threads without what std adds to each: a signal stack and its guard, which cost as much as the thread itself.

use nix::errno::Errno;

type Work = Box<dyn FnOnce() + Send>;

/// Starts a thread that nobody waits for, with a stack of `stack` bytes, which does `work` under the name of `name`.
///
/// # Errors
///
/// As `pthread_create(3)`: `EAGAIN` where the limit on threads is reached.
pub fn start(name: &'static std::ffi::CStr, stack: usize, work: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
    let work: Work = Box::new(move || {
        let _ = nix::sys::prctl::set_name(name);
        work();
    });
    let argument = Box::into_raw(Box::new(work)).cast::<libc::c_void>();
    let result = attributed(stack, argument);
    if result.is_err() {
        // SAFETY: no thread has been started, so the box is still ours, as it was made above.
        drop(unsafe { Box::from_raw(argument.cast::<Work>()) });
    }
    result
}

/// Creates the detached thread that takes over `argument`, a boxed [`Work`].
fn attributed(stack: usize, argument: *mut libc::c_void) -> Result<(), Errno> {
    let done = |error: i32| if error == 0 { Ok(()) } else { Err(Errno::from_raw(error)) };
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (at, mut thread) = (attributes.as_mut_ptr(), 0);
    // SAFETY: the attributes are initialized first and destroyed last; the thread gets a box of the type that it expects.
    unsafe {
        done(libc::pthread_attr_init(at))?;
        let created = done(libc::pthread_attr_setdetachstate(at, libc::PTHREAD_CREATE_DETACHED))
            .and_then(|()| done(libc::pthread_attr_setstacksize(at, stack)))
            .and_then(|()| done(libc::pthread_create(&raw mut thread, at, run, argument)));
        libc::pthread_attr_destroy(at);
        created
    }
}

extern "C" fn run(argument: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `start` passes this box and leaves it to this thread.
    let work = unsafe { Box::from_raw(argument.cast::<Work>()) };
    // A panic has been told by the hook; it must not unwind into C.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    std::ptr::null_mut()
}
