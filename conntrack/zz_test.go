package conntrack
import ("testing";"fmt")
var cnt = map[string]int{}
func TestZZ(t *testing.T){ fmt.Println(cnt) }
