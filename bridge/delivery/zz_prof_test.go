package delivery
import ("testing";"os";"runtime/pprof";"time")
func TestMain(m *testing.M){ f,_:=os.Create("/tmp/cpu.prof"); pprof.StartCPUProfile(f); go func(){ time.Sleep(12*time.Second); pprof.StopCPUProfile(); f.Close() }(); os.Exit(m.Run()) }
