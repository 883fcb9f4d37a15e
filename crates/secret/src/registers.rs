//! The processor's vector registers, in which copying and ciphers leave pieces of what they worked on.
//!
//! A thread that waits keeps them for hours, and a core file has them. Rarely used ones, as `memcpy` chooses them, survive
//! whatever the thread does meanwhile.
#![expect(unsafe_code, reason = "registers are reached by assembly alone")]

/// Clears every vector register of this thread.
#[cfg(target_arch = "x86_64")]
pub(crate) fn wipe() {
    use std::arch::{asm, is_x86_feature_detected};

    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has these registers, and the compiler is told that they change.
        unsafe {
            asm!(
                "vpxord zmm16, zmm16, zmm16",
                "vpxord zmm17, zmm17, zmm17",
                "vpxord zmm18, zmm18, zmm18",
                "vpxord zmm19, zmm19, zmm19",
                "vpxord zmm20, zmm20, zmm20",
                "vpxord zmm21, zmm21, zmm21",
                "vpxord zmm22, zmm22, zmm22",
                "vpxord zmm23, zmm23, zmm23",
                "vpxord zmm24, zmm24, zmm24",
                "vpxord zmm25, zmm25, zmm25",
                "vpxord zmm26, zmm26, zmm26",
                "vpxord zmm27, zmm27, zmm27",
                "vpxord zmm28, zmm28, zmm28",
                "vpxord zmm29, zmm29, zmm29",
                "vpxord zmm30, zmm30, zmm30",
                "vpxord zmm31, zmm31, zmm31",
                clobber_abi("sysv64"),
                options(nomem, nostack, preserves_flags)
            );
        }
    }
    if is_x86_feature_detected!("avx") {
        // SAFETY: the processor has the instruction, and the compiler is told that these registers change.
        unsafe { asm!("vzeroall", clobber_abi("sysv64"), options(nomem, nostack, preserves_flags)) }
    } else {
        // SAFETY: every processor of this kind has these registers, and the compiler is told that they change.
        unsafe {
            asm!(
                "pxor xmm0, xmm0",
                "pxor xmm1, xmm1",
                "pxor xmm2, xmm2",
                "pxor xmm3, xmm3",
                "pxor xmm4, xmm4",
                "pxor xmm5, xmm5",
                "pxor xmm6, xmm6",
                "pxor xmm7, xmm7",
                "pxor xmm8, xmm8",
                "pxor xmm9, xmm9",
                "pxor xmm10, xmm10",
                "pxor xmm11, xmm11",
                "pxor xmm12, xmm12",
                "pxor xmm13, xmm13",
                "pxor xmm14, xmm14",
                "pxor xmm15, xmm15",
                clobber_abi("sysv64"),
                options(nomem, nostack, preserves_flags)
            );
        }
    }
}

/// Not known how on this processor.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn wipe() {}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use std::arch::asm;

    use super::*;

    #[test]
    fn nothing_stays_in_a_register() {
        let mark = 0x5a5a_5a5a_5a5a_5a5a_u64;
        let (mut kept, mut wiped) = (0_u64, u64::MAX);
        // SAFETY: the register is named as changed, and nothing else is touched.
        unsafe {
            asm!("movq xmm7, {}", in(reg) mark, out("xmm7") _);
            asm!("movq {}, xmm7", out(reg) kept);
        }
        assert_eq!(kept, mark, "what is put there stays by itself");
        // SAFETY: as above.
        unsafe { asm!("movq xmm7, {}", in(reg) mark, out("xmm7") _) };
        wipe();
        // SAFETY: as above.
        unsafe { asm!("movq {}, xmm7", out(reg) wiped) };
        assert_eq!(wiped, 0);
    }

    #[test]
    fn nothing_stays_in_a_register_of_avx_512() {
        if !std::arch::is_x86_feature_detected!("avx512f") {
            return;
        }
        let (mut kept, mut wiped) = (0_u64, u64::MAX);
        // SAFETY: the processor has the register, which is named as changed.
        unsafe {
            asm!("vmovq xmm31, {}", in(reg) 0x5a5a_u64, out("xmm31") _);
            asm!("vmovq {}, xmm31", out(reg) kept);
        }
        assert_eq!(kept, 0x5a5a);
        wipe();
        // SAFETY: as above.
        unsafe { asm!("vmovq {}, xmm31", out(reg) wiped) };
        assert_eq!(wiped, 0);
    }
}
