package fragment

import "testing"

// BenchmarkDatagrams: three fragments each, in order, beside as many that never end
// as there is room for.
func BenchmarkDatagrams(b *testing.B) {
	for _, c := range []struct {
		name  string
		order [3]int
	}{{"in order", [3]int{0, 1, 2}}, {"reversed", [3]int{2, 1, 0}}} {
		b.Run(c.name, func(b *testing.B) {
			table, frame, now := New(), make([]byte, 1524), int64(0)
			for n := range maxDatagrams - 64 {
				k := key(n)
				k.Src = 99
				table.Later(k, 8, 8, true, now)
			}
			for i := range b.N {
				k := key(i)
				now += 1000
				for _, n := range c.order {
					if n == 0 {
						table.First(k, 1480, Flow{ID: 1}, now)
					} else if _, known, _ := table.Later(k, 1480*n, 1480, n < 2, now); !known {
						table.Hold(k, frame)
					}
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "datagrams/s")
		})
	}
}
