package conntrack

import "testing"

func TestOpening(t *testing.T) { runScripts(t, openings) }

var openings = []script{
	{"three-way handshake", resets, `
			= SYN_SENT expires 30s
			> S 0
			= SYN_SENT >end 1
			< SA 0 ack 1
			= SYN_RECEIVED <end 1 <ack 1 expires 30s
			> A 1 ack 1
			= ESTABLISHED >end 1 >ack 1 expires 4m`},
	{"data with the last ACK", resets, `
			> S 0
			< SA 0 ack 1
			> PA 1(500) ack 1
			= ESTABLISHED >end 501 >ack 1`},
	{"the last ACK comes late: data first", resets, `
			> S 0
			< SA 0 ack 1
			> PA 101(100) ack 1
			= ESTABLISHED >end 201
			> A 1 ack 1
			= ESTABLISHED >end 201 >ack 1`},
	{"simultaneous open, SYN-ACK from both", resets, `
			> S 0
			< S 0
			= SYN_RECEIVED <end 1
			> SA 0 ack 1
			= SYN_RECEIVED
			< SA 0 ack 1
			= ESTABLISHED >end 1 >ack 1 <end 1 <ack 1`},
	{"simultaneous open, plain ACKs", resets, `
			> S 0
			< S 0
			< A 1 ack 1
			= SYN_RECEIVED
			> A 1 ack 1
			= ESTABLISHED`},
	{"simultaneous open, SYN-ACK and ACK", resets, `
			> S 0
			< S 0
			< SA 0 ack 1
			= SYN_RECEIVED
			> PA 1(10) ack 1
			= ESTABLISHED >end 11`},
	{"SYN and SYN-ACK sent again", resets, `
			> S 0
			> S 0
			+ 20s
			> S 0
			= SYN_SENT expires 30s
			< SA 0 ack 1
			< SA 0 ack 1
			> S 0
			= SYN_RECEIVED
			< SA 0 ack 1
			= SYN_RECEIVED
			> A 1 ack 1
			= ESTABLISHED >end 1 >ack 1 <end 1 <ack 1
			# the ACK was lost beyond us
			< SA 0 ack 1
			> A 1 ack 1
			= ESTABLISHED >end 1 >ack 1 <end 1 <ack 1`},
	{"another SYN before an answer", resets, `
			> S 0
			> S 70000
			= >end 70001
			< SA 0 ack 70001
			> A 70001 ack 1
			= ESTABLISHED`},
	{"SYN-ACK of another incarnation", resets, `
			> S 0
			< SA 0 ack 1
			< SA 0x30000000 ack 1
			= SYN_RECEIVED
			> A 1 ack 0x30000001
			= ESTABLISHED <end 0x30000001 >ack 0x30000001`},
	{"SYN-ACK that answers something else", resets, `
			> S 0
			< SA 0 ack 2
			= SYN_SENT
			< SA 0 ack 0x40000000
			= SYN_SENT
			< A 77 ack 77
			= SYN_SENT
			< SA 0 ack 1
			> A 1 ack 1
			= ESTABLISHED <end 1`},
	{"ACK of something else does not open", resets, `
			> S 0
			< SA 0 ack 1
			> A 1 ack 2
			= SYN_RECEIVED
			> A 0x40000000 ack 2
			= SYN_RECEIVED
			> A 1 ack 1
			= ESTABLISHED`},
	{"SYN on ESTABLISHED", resets, opened + `
			> S 0x40000000 ws 2
			< SA 0x40000000 ack 0x40000001 ws 2
			> S 5
			< S 5
			= ESTABLISHED >end 1 >ack 1 <end 1 <ack 1
			# the challenge ACK
			< A 1 ack 1
			= ESTABLISHED >end 1 >ack 1 <end 1 <ack 1 expires 4m`},
	{"stranger's SYN before the SYN-ACK", resets, `
			> S 0
			< S 0x40000000
			< SA 0 ack 1
			> A 1 ack 1
			= ESTABLISHED >end 1 >ack 1 <end 1 <ack 1`},
	{"stranger's SYN to the client before the last ACK", resets, `
			> S 0
			< SA 0 ack 1
			< S 0x40000000
			> A 1 ack 1
			= ESTABLISHED >end 1 >ack 1 <end 1 <ack 1`},
	{"stranger's SYN to the server before the last ACK", resets, `
			> S 0
			< SA 0 ack 1
			> S 0x40000000
			> A 1 ack 1
			= ESTABLISHED >end 1 >ack 1 <end 1 <ack 1`},
	{"the client begins anew before the last ACK", resets, `
			> S 0
			< SA 0 ack 1
			> S -0x40000000
			< SA 0x20000000 ack -0x3fffffff
			> A -0x3fffffff ack 0x20000001
			= ESTABLISHED >end -0x3fffffff >ack 0x20000001 <end 0x20000001 <ack -0x3fffffff`},
	{"half-open gives up silently", resets, `
			> S 0
			+ 30s
			= SYN_SENT
			+ 1s
			= gone half-open silent`},
	{"half-open after SYN-ACK gives up silently", resets, `
			> S 0
			+ 29s
			< SA 0 ack 1
			+ 30s
			= SYN_RECEIVED
			+ 1s
			= gone half-open silent`},
	{"segments without any flag", resets, opened + `
			> P 1(100)
			= ESTABLISHED >end 1`},
}

// TestFastOpen is RFC 7413: data on the SYN, which the answer need not acknowledge.
func TestFastOpen(t *testing.T) { runScripts(t, fastOpens) }

var fastOpens = []script{
	{"all acknowledged", resets, `
			> S 0(1000)
			= >end 1001
			< SA 0 ack 1001
			> A 1001 ack 1
			= ESTABLISHED >end 1001 <ack 1001`},
	{"only SYN acknowledged", resets, `
			> S 0(1000)
			< SA 0 ack 1
			= SYN_RECEIVED <ack 1
			> PA 1(1000) ack 1
			= ESTABLISHED >end 1001
			< A 1 ack 1001
			= <ack 1001`},
	{"the server sends before the last ACK", resets, `
			> S 0(100)
			< SA 0 ack 101
			< PA 1(5000) ack 101
			= SYN_RECEIVED <end 5001
			> A 101 ack 5001
			= ESTABLISHED >ack 5001`},
	{"SYN again without its data, which arrived", resets, `
			> S 0(1000)
			> S 0
			= >end 1001
			< SA 0 ack 1001
			= SYN_RECEIVED
			> A 1001 ack 1
			= ESTABLISHED >end 1001`},
	{"SYN-ACK again after data", resets, `
			> S 0(100)
			< SA 0 ack 101
			< PA 1(5000) ack 101
			< SA 0 ack 101
			= <end 5001
			> A 101 ack 5001
			= ESTABLISHED >ack 5001`},
	{"refused, data counted", resets, `
			> S 0(1000)
			< RA 0 ack 1001
			= CLOSED expires 16s`},
}

const closing = opened + `
		> FA 1 ack 1
		< FA 1 ack 2
		> A 2 ack 2
		= TIME_WAIT expires 65s
`

func TestReopening(t *testing.T) { runScripts(t, reopenings) }

var reopenings = []script{
	{"newer SYN in TIME_WAIT", resets, closing + `
			+ 20s
			> S 50000
			= SYN_SENT >end 50001 expires 30s
			< SA 0x20000000 ack 50001
			> A 50001 ack 0x20000001
			= ESTABLISHED >end 50001 <end 0x20000001 >ack 0x20000001 <ack 50001 expires 4m
			> FA 50001 ack 0x20000001
			= FIN_WAIT`},
	{"older SYN in TIME_WAIT, which the server knows to be new", resets, closing + `
			> S -50000
			= SYN_SENT >end -49999
			< SA 7 ack -49999
			> A -49999 ack 8
			= ESTABLISHED`},
	{"SYN from the other end in TIME_WAIT", resets, closing + `
			< S 50000
			< SA 50000 ack 2
			> SA 50000 ack 2
			= TIME_WAIT >end 2 <end 2`},
	{"any SYN in CLOSED", resets, opened + `
			> R 1
			= CLOSED
			> S -50000
			= SYN_SENT >end -49999
			< SA 7 ack -49999
			> A -49999 ack 8
			= ESTABLISHED`},
	{"refused, and tried again", resets, `
			> S 0
			< RA 0 ack 1 raw
			= CLOSED expires 16s
			> S 100
			< SA 0 ack 101
			> A 101 ack 1
			= ESTABLISHED`},
	{"nothing is left of the first time", resets, opened + `
			< PA 1(3000) ack 1
			> RA 1 ack 3001
			= CLOSED
			> S 100000
			< SA 200000 ack 100001
			> A 100001 ack 200001
			# no window scale this time: 65,535 bytes is the most
			< PA 200001(60000) ack 100001
			< PA 400000(10) ack 100001
			= <end 260001`},
	{"nor of its windows", resets, opened + `
			> A 1 ack 1 win 65535
			> R 1
			> S 100000 ws 7
			< SA 200000 ack 100001 ws 7
			> A 100001 ack 200001 win 512
			# 65,536 bytes, not 8 MB
			< PA 265537(10) ack 100001
			< PA 265538(10) ack 100001
			= ESTABLISHED <end 265547`},
	{"SYN on FIN_WAIT", resets, opened + `
			> FA 1 ack 1
			> S 70000
			= FIN_WAIT >end 2`},
}
