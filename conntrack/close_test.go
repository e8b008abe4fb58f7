package conntrack

import "testing"

func TestClosing(t *testing.T) { runScripts(t, closings) }

var closings = []script{
	{"one after the other", resets, opened + `
			> FA 1 ack 1
			= FIN_WAIT >end 2 expires 4m
			< A 1 ack 2
			= FIN_WAIT <ack 2
			< FA 1 ack 2
			= TIME_WAIT <end 2 expires 65s
			> A 2 ack 2
			= TIME_WAIT >ack 2
			+ 65s
			= TIME_WAIT
			+ 1s
			= gone fin silent`},
	{"the server first", resets, opened + `
			< PA 1(100) ack 1
			< FA 101 ack 1
			= FIN_WAIT <end 102
			> A 1 ack 102
			> FA 1 ack 102
			< A 102 ack 2
			= TIME_WAIT >end 2 >ack 102 <end 102 <ack 2`},
	{"at the same time", resets, opened + `
			> FA 1 ack 1
			< FA 1 ack 1
			= TIME_WAIT
			> A 2 ack 2
			< A 2 ack 2
			= TIME_WAIT >ack 2 <ack 2`},
	{"half-closed, and the other goes on", resets, opened + `
			> FA 1 ack 1
			< A 1 ack 2
			+ 200s
			< PA 1(1000) ack 2
			> A 2 ack 1001
			= FIN_WAIT >ack 1001 <end 1001 expires 4m
			+ 240s
			= FIN_WAIT
			+ 4.8s
			= gone idle silent`},
	{"FIN sent again is not the other's", resets, opened + `
			> FA 1 ack 1
			> FA 1 ack 1
			> FA 1 ack 1
			= FIN_WAIT >end 2
			< FA 1 ack 2
			< FA 1 ack 2
			= TIME_WAIT <end 2`},
	{"FIN with data and PUSH", resets, opened + `
			> FPA 1(100) ack 1
			= FIN_WAIT >end 102
			< FPA 1(50) ack 102
			= TIME_WAIT <end 52`},
	{"FIN without ACK is no segment", resets, opened + `
			> F 1
			= ESTABLISHED >end 1`},
	{"stranger's FIN", resets, opened + `
			> FA 0x40000000 ack 1
			> FA 1 ack 0x40000000
			< FA 1 ack 0x40000000
			= ESTABLISHED >end 1 <end 1`},
	{"FIN before the handshake is through", resets, `
			> S 0
			< SA 0 ack 1
			> FA 1 ack 1
			= FIN_WAIT
			< FA 1 ack 2
			= TIME_WAIT`},
	{"Fast Open, answered and closed before the first ACK", resets, `
			> S 0(100)
			< SA 0 ack 101
			< PA 1(2000) ack 101
			< FA 2001 ack 101
			= FIN_WAIT <end 2002
			> A 101 ack 2002
			= >ack 2002
			> FA 101 ack 2002
			= TIME_WAIT >end 102`},
	{"RST in TIME_WAIT", resets, opened + `
			> FA 1 ack 1
			< FA 1 ack 2
			< R 2
			= CLOSED expires 16s`},
	{"FIN after RST", resets, opened + `
			> FA 1 ack 1
			> R 2
			< FA 1 ack 2
			= CLOSED expires 16s`},
	{"silent rule", silent, opened + `
			+ 240s
			= ESTABLISHED
			+ 4.8s
			= gone idle silent`},
	{"resetting rule", resets, opened + `
			+ 240s
			= ESTABLISHED
			+ 4.8s
			= gone idle reset`},
}

// The server has 1,000 bytes under way that the client has acknowledged half.
const underWay = opened + `
		< PA 1(500) ack 1
		> A 1 ack 501
		< PA 501(500) ack 1
		= <end 1001 >ack 501
`

// TestReset is design §4: only a RST that its receiver is bound to accept ends a flow.
func TestReset(t *testing.T) { runScripts(t, resetScripts) }

var resetScripts = []script{
	{"exactly what was acknowledged last", resets, underWay + `
			< R 501
			= CLOSED expires 16s
			+ 17s
			= gone rst silent`},
	{"exactly what was sent last", resets, underWay + `
			< RA 1001 ack 1
			= CLOSED`},
	{"from the client", resets, underWay + `
			> RA 1 ack 501
			= CLOSED`},
	{"in the window", resets, underWay + `
			< R 502
			= ESTABLISHED expires 4m
			+ 239s
			= ESTABLISHED
			+ 2s
			= gone idle reset`},
	{"in the window, and the receiver asks back", resets, underWay + `
			< R 20000
			= ESTABLISHED expires 4m
			+ 5s
			> A 1 ack 501
			= ESTABLISHED expires 4m
			+ 200s
			= ESTABLISHED`},
	{"in the window, and the receiver asks back and gets it", resets, underWay + `
			< R 20000
			> A 1 ack 1001
			< R 1001
			= CLOSED`},
	{"in the window, and its sender goes on", resets, underWay + `
			< R 20000
			< PA 1001(10) ack 1
			= ESTABLISHED expires 4m <end 1011`},
	{"in the window, twice, and the receiver asks back only once", resets, underWay + `
			< R 20000
			> A 1 ack 501
			< R 20001
			= ESTABLISHED expires 4m
			+ 11s
			= ESTABLISHED`},
	{"in the window of a half-closed flow", resets, underWay + `
			< FA 1001 ack 1
			> A 1 ack 501
			< R 800
			= FIN_WAIT expires 4m
			+ 241s
			= gone idle silent`},
	{"before the window", resets, underWay + `
			< R 500
			< R 0
			< R -70000
			= ESTABLISHED expires 4m`},
	{"beyond the window", resets, underWay + `
			< R 200000
			< R 0x40000000
			< R -0x40000000
			= ESTABLISHED expires 4m`},
	{"does not end the hold of another", resets, underWay + `
			< R 1001
			+ 10s
			< R 1001
			= CLOSED expires 16s`},
	{"refused", resets, `
			> S 0
			< RA 0 ack 1 raw
			= CLOSED expires 16s
			+ 17s
			= gone rst silent`},
	{"not refused by a stranger", resets, `
			> S 0
			< RA 0 ack 2
			< RA 0 ack 0
			< R 0
			< R 1
			= SYN_SENT expires 30s`},
	{"the client gives up at once", resets, `
			> S 0
			> R 1
			= CLOSED`},
	{"the client gives up on the SYN-ACK", resets, `
			> S 0
			< SA 0 ack 1
			> R 1
			= CLOSED`},
	{"the server gives up before the last ACK", resets, `
			> S 0
			< SA 0 ack 1
			< RA 1 ack 1
			= CLOSED`},
	{"inexact before the last ACK", resets, `
			> S 0
			< SA 0 ack 1
			< R 2
			= SYN_RECEIVED
			> R 2
			= SYN_RECEIVED
			> A 1 ack 1
			= ESTABLISHED expires 4m`},
	{"an answer to the wrong SYN-ACK", resets, `
			> S 0
			< SA 0 ack 2
			> R 2
			= SYN_SENT`},
	{"data after it", resets, underWay + `
			< R 1001
			> PA 1(10) ack 501
			= CLOSED >end 11`},
	{"with SYN or FIN", resets, underWay + `
			< SRA 20000 ack 1
			= ESTABLISHED expires 4m
			< FR 1001
			= CLOSED <end 1001`},
}

// TestResetOfZero: an end that has acknowledged nothing yet does not expect zero.
func TestResetOfZero(t *testing.T) {
	s := script{lines: `
		> S 0
		< SA 0 ack 1
		< R 0 raw
		= SYN_RECEIVED`}
	s.run(t, firsts[0])
}
