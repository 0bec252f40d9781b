package event

import "hash/crc32"

// Host returns which of several Redis servers has a group or a channel: its place in Django's list of hosts, as channels_redis computes it.
func Host(name string, hosts int) int {
	if hosts == 1 {
		return 0
	}
	return int(float64(crc32.ChecksumIEEE([]byte(name))&0xfff) / (4096 / float64(hosts)))
}
