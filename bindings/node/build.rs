//! Has the linker leave to Node what only Node has.

fn main() {
    napi_build::setup();
}
