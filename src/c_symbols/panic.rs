//! What a panic does in libneap: it writes one line and ends the process. Nothing unwinds into C.
//!
//! Locks: none.

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    crate::sys::message::end_process("panic", format_args!("{}", info.message()))
}
