//! Every ioctl before the handshake.

use super::{Call, Stage, about};
use crate::prelude::*;

/// Before the handshake the ioctl gives `EINVAL`, whatever its argument; after it the same call works.
pub fn nothing_works_before_it(call: Call, memory: Memory) -> Outcome {
    let uffd = given::raw_uffd()?;
    let region = Stage::region(memory)?;
    let source = given::source(region.page_size(), call.content(1))?;
    let request = call.on(region.page(1).range(), source.start() as u64, 0);
    request.make(&uffd).is_refused(Errno::EINVAL)?;
    let shape = call.shape();
    uffd.ioctl(shape.name, shape.request, 0).is_refused(Errno::EINVAL).map_err(about("no argument"))?;
    given::handshake(&uffd, call.features())?;
    Stage::on(uffd, call, region)?.works()
}
