// Package e2e tests the built program from outside: real kernels' sockets on one
// side, tidegate in the middle, and what goes over the wires beside them.
//
//	h1 10.0.0.10 ─┐    (a)                                (b)                            ┌─ s1 198.51.100.7
//	h2 10.0.0.11 ─┼─ lan ─ in0 10.0.0.1 [gw] out0 203.0.113.1 ─ wan0 203.0.113.254 [rt] ─┤
//	h3 10.0.0.12 ─┘                      tide0                                           └─ s2 192.0.2.9
//
// Every test has such a network of its own (package lab), in which the gateway
// runs on gw as a user would run it: `tidegate run -c FILE`. h1 and h2 are its pool
// members and h3 is in no pool; the frontend is 203.0.113.5, whose port 2222 leads
// to port 22 of h1. A test of load balancing brings rules of its own, with more
// frontends: 203.0.113.6 and 203.0.113.9, and inside 10.0.0.4 and 10.0.0.5. With
// datapath tun gw is set up by the commands that `tidegate run --print-routes` prints
// and by nothing else, and rt has a route to each public frontend, for which nobody
// answers ARP then.
//
// A scenario runs once on each datapath unless it says why not. What the gateway
// sent is judged at the far ends of its two cables: (a) the switch's port gw and (b)
// the router's wan0. A test that fails writes what went over both, and what the
// gateway said, to a directory that it names.
//
// The package has only tests. They need root and the programs curl, ping, ss, ip, nft,
// sysctl, setpriv, unshare, tshark and chromium. TestMain builds the program, or takes the one that the
// environment variable TIDEGATE_BIN names, and fails if anything of it is left.
package e2e
