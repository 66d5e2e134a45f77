// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func Call(number uint32) int32
//
// Old kernels clobber R8 to R11; nothing of ours is in them.
TEXT ·Call(SB), NOSPLIT, $0-12
	MOVL number+0(FP), AX
	INT  $0x80
	MOVL AX, ret+8(FP)
	RET

// func Call6(number uint32, args *[6]uint32) int32
TEXT ·Call6(SB), NOSPLIT, $8-20
	MOVQ BP, saved-8(SP)
	MOVL number+0(FP), AX
	MOVQ args+8(FP), R9
	MOVL 0(R9), BX
	MOVL 4(R9), CX
	MOVL 8(R9), DX
	MOVL 12(R9), SI
	MOVL 16(R9), DI
	MOVL 20(R9), BP
	INT  $0x80
	MOVQ saved-8(SP), BP
	MOVL AX, ret+16(FP)
	RET
