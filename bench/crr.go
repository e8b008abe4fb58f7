package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	messageSize = 64 // bytes of a request, and of its answer

	// Connections go to several ports in turn, so that the client's 64,512 ports
	// towards each, half of them its pool member's, last longer than TIME_WAIT.
	answerPort  = 8000
	answerPorts = 16
	connectors  = 8 // connections at a time
)

// measureConnections makes connections between the kernels of client and server,
// sends one request over each, waits for the answer and closes.
func measureConnections(ctx context.Context, l *leg) error {
	if err := l.start(ctx, load{}); err != nil {
		return err
	}
	if _, err := startChild(ctx, l.server, "answer", answerOrder{serverAddr}); err != nil {
		return err
	}
	client, err := startChild(ctx, l.client, "connect", connectOrder{Server: serverAddr, Duration: l.duration})
	if err != nil {
		return err
	}
	var result connectResult
	if err := client.result(&result); err != nil {
		return err
	}
	if result.Failed > result.Done/100 {
		return fmt.Errorf("bench: connect: %d failed, %d did not; the last: %s", result.Failed, result.Done, result.Last)
	}
	l.add("TCP connect–request–close", "k/s", float64(result.Done)/result.Seconds/1000)
	return nil
}

// connectOrder is for the client.
type connectOrder struct {
	Server   netip.Addr
	Duration time.Duration
}

// connectResult counts connections.
type connectResult struct {
	Done, Failed int64
	Last         string // failure
	Seconds      float64
}

// connectAgain is the client.
func connectAgain(o connectOrder) (result connectResult, err error) {
	if err := awaitListener(netip.AddrPortFrom(o.Server, answerPort+answerPorts-1)); err != nil {
		return result, err
	}
	var done, failed, turn atomic.Int64
	var last atomic.Value
	var all sync.WaitGroup
	start := time.Now()
	for range connectors {
		all.Go(func() {
			for time.Since(start) < o.Duration {
				port := answerPort + turn.Add(1)%answerPorts
				if err := exchange(netip.AddrPortFrom(o.Server, uint16(port))); err != nil {
					failed.Add(1)
					last.Store(err.Error())
					continue
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	result = connectResult{Done: done.Load(), Failed: failed.Load(), Seconds: time.Since(start).Seconds()}
	result.Last, _ = last.Load().(string)
	return result, nil
}

// awaitListener waits until somebody listens there, who was started a moment ago.
func awaitListener(at netip.AddrPort) (err error) {
	for range 200 {
		if err = exchange(at); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("bench: await listener: %w", err)
}

// exchange is one connection, from its SYN to the client's FIN.
func exchange(server netip.AddrPort) error {
	d := net.Dialer{Timeout: 3 * time.Second, KeepAlive: -1}
	d.SetMultipathTCP(false)
	c, err := d.Dial("tcp4", server.String())
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * time.Second))
	var message [messageSize]byte
	if _, err := c.Write(message[:]); err != nil {
		return err
	}
	_, err = io.ReadFull(c, message[:])
	return err
}

// answerOrder is for the server.
type answerOrder struct{ Address netip.Addr }

// answer is the server: it sends each message back, until its parent stops it.
func answer(o answerOrder) (nothing, error) {
	config := net.ListenConfig{KeepAlive: -1}
	config.SetMultipathTCP(false)
	for i := range answerPorts {
		at := netip.AddrPortFrom(o.Address, uint16(answerPort+i))
		l, err := config.Listen(context.Background(), "tcp4", at.String())
		if err != nil {
			return nothing{}, fmt.Errorf("bench: %w", err)
		}
		defer l.Close()
		go acceptFrom(l)
	}
	<-stopped()
	return nothing{}, nil
}

func acceptFrom(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go sendBack(c)
		}
	}
}

func sendBack(c net.Conn) {
	defer c.Close()
	var message [messageSize]byte
	for {
		if _, err := io.ReadFull(c, message[:]); err != nil {
			return
		}
		if _, err := c.Write(message[:]); err != nil {
			return
		}
	}
}
