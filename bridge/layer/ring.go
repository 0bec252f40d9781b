package layer

import "hash/crc32"

// ring is the index of the host of n that channels_redis gives to a key or channel of this name.
func ring(name string, n int) int {
	if n == 1 {
		return 0
	}
	return int(float64(crc32.ChecksumIEEE([]byte(name))&0xfff) / (4096 / float64(n)))
}
