package conntrack

import "testing"

const exact = `
		= >end 1001 >ack 2001 <end 2001 <ack 1001
`

// Both have sent and acknowledged something.
const talked = opened + `
		> PA 1(1000) ack 1
		< PA 1(2000) ack 1001
		> A 1001 ack 2001
` + exact

// The numbers that a reset is made of must stay exact, whatever passes.
func TestNumbers(t *testing.T) { runScripts(t, numbers) }

var numbers = []script{
	{"keepalive", resets, talked + `
			> A 1000 ack 2001` + exact + `
			< A 2001 ack 1001` + exact + `
			> A 1000(1) ack 2001` + exact + `
			< A 2000 ack 1001` + exact + `
			< A 2000(1) ack 1001` + exact},
	{"keepalive restarts the timer", resets, talked + `
			+ 239s
			> A 1000 ack 2001
			= expires 4m
			+ 239s
			< A 2001 ack 1001
			= expires 4m` + exact},
	{"old retransmission", resets, talked + `
			> PA 1(1000) ack 1
			> PA 1(500) ack 1
			< PA 1(2000) ack 1
			< PA 501(3) ack 501` + exact},
	{"late duplicate ACK", resets, talked + `
			> A 1001 ack 1
			> A 1001 ack 1001
			< A 2001 ack 1
			< A 1 ack 1` + exact},
	{"reordered", resets, talked + `
			< PA 3001(1000) ack 1001
			< PA 2001(1000) ack 1001
			> A 1001 ack 4001
			> A 1001 ack 2001
			> A 1001 ack 3001
			= >end 1001 >ack 4001 <end 4001 <ack 1001`},
	{"stranger, number and ack wild", resets, talked + `
			< PA 0x20000000(100) ack 0x20000000
			< PA 0x7fffffff(100) ack -0x20000000
			< A -0x20000000(100) ack 0x7fffffff
			> A 0x20000000 ack -0x20000000
			> PA -0x7fffffff(100) ack 0x7fffffff` + exact},
	{"stranger, number in the window", resets, talked + `
			< PA 2001(100) ack 0x20000000
			< PA 2001(100) ack 1002
			< PA 2001(100) ack -200000
			< PA 5000(100) ack -0x20000000
			> FA 1001(100) ack 2002
			= ESTABLISHED` + exact},
	{"stranger, ack in the window", resets, talked + `
			< PA 0x20000000(100) ack 1001
			< PA -0x20000000(100) ack 1001
			< A 200000 ack 1001
			< A -200000 ack 1001
			> FA 200000 ack 2001
			= ESTABLISHED` + exact},
	{"probe of a closed window", resets, talked + `
			> A 1001 ack 2001 win 0
			< A 2000 ack 1001
			> A 1001 ack 2001 win 0` + exact + `
			# or with a byte that it does not take
			< A 2001(1) ack 1001
			> A 1001 ack 2001 win 0
			= >end 1001 >ack 2001 <end 2002 <ack 1001
			> A 1001 ack 2001
			< PA 2001(100) ack 1001
			> A 1001 ack 2101
			= >ack 2101 <end 2101`},
	{"never acknowledged past us", resets, talked + `
			< PA 2001(500) ack 1001
			= >ack 2001 <end 2501
			+ 241s
			= gone idle reset`},
	{"urgent flags and all", resets, talked + `
			> SFPA 1001 ack 2001` + exact},
}

func TestWindows(t *testing.T) { runScripts(t, windows) }

var windows = []script{
	{"scaled on both sides", resets, opened + `
			# the client's window is 512 << 7 = 65,536; then it grows
			> A 1 ack 1 win 8192
			< PA 1(60000) ack 1 win 4096
			< PA 60001(60000) ack 1
			< PA 120001(60000) ack 1
			< PA 1000001(10) ack 1
			= <end 1000011
			< PA 1048577(10) ack 1
			= <end 1048587
			# but not beyond it
			< PA 1048578(10) ack 1
			= <end 1048587
			> A 1 ack 1048587
			= >ack 1048587
			# the server's window is 4096 << 7 = 524,288
			> PA 524290(1) ack 1048587
			= >end 1
			> PA 524289(1) ack 1048587
			= >end 524290`},
	{"a window does not shrink", resets, opened + `
			> A 1 ack 1 win 8192
			> A 1 ack 1 win 0
			< PA 1000001(10) ack 1
			= <end 1000011`},
	{"scaled by one side only", resets, `
			> S 0 ws 7
			< SA 0 ack 1
			> A 1 ack 1 win 65535
			= ESTABLISHED
			< PA 65536(10) ack 1
			= <end 65546
			< PA 65537(10) ack 1
			= <end 65546
			< PA 1000000(10) ack 1
			= <end 65546`},
	{"scaled by the other side only", resets, `
			> S 0
			< SA 0 ack 1 ws 7
			> A 1 ack 1
			< A 1 ack 1 win 65535
			> PA 65537(10) ack 1
			= >end 1
			> PA 65536(10) ack 1
			= >end 65546`},
	{"not scaled", resets, `
			> S 0
			< SA 0 ack 1
			> A 1 ack 1 win 1000
			< PA 1(1000) ack 1
			< PA 65000(1000) ack 1
			= <end 66000
			< PA 200000(1000) ack 1
			= <end 66000`},
	{"scale of zero is a scale", resets, `
			> S 0 ws 0
			< SA 0 ack 1 ws 3
			> A 1 ack 1
			< A 1 ack 1 win 65535
			> PA 500000(10) ack 1
			= >end 500010`},
	{"the SYN's window is not scaled, and the most there is", resets, `
			> S 0 ws 14 win 65535
			< SA 0 ack 1 ws 14 win 65535
			> A 1 ack 1 win 1
			< PA 65537(10) ack 1
			= <end 1
			> A 1 ack 1 win 65535
			< PA 0x3ffc0000(10) ack 1
			= <end 0x3ffc000a
			< PA 0x50000000(10) ack 1
			= <end 0x3ffc000a`},
	{"SYN again without options", resets, `
			> S 0 ws 7
			> S 0
			< SA 0 ack 1 ws 7
			> A 1 ack 1 win 8192
			< PA 1000001(10) ack 1
			= <end 1000011`},
	{"super-packets", resets, opened + `
			> A 1 ack 1 win 8192
			< PA 1(65483) ack 1
			< PA 65484(65483) ack 1
			< PA 130967(200000) ack 1
			> A 1 ack 330967 win 8192
			= <end 330967 >ack 330967
			< PA 330967(500000) ack 1
			< FA 830967 ack 1
			= FIN_WAIT <end 830968`},
	{"a segment larger than the window starts in it", resets, `
			> S 0
			< SA 0 ack 1
			> A 1 ack 1 win 65535
			< PA 1(65483) ack 1
			> A 1 ack 65484
			= ESTABLISHED <end 65484 >ack 65484`},
	{"old data of a large window", resets, opened + `
			> A 1 ack 1 win 8192
			< PA 1(500000) ack 1
			< PA 500001(500000) ack 1
			> A 1 ack 1
			= <end 1000001 >ack 1
			> PA 1(100) ack 500001
			= >end 101 >ack 500001`},
}
