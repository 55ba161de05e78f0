package smartconnectors

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Micros is an amount of money: 1,000,000 are one unit of its currency, whatever its coins are.
type Micros int64

// Unit is one unit of a currency.
const Unit Micros = 1_000_000

// largest is the most that the service takes: 10^15 micros.
const largest = 1_000_000_000 * Unit

var plainDecimal = regexp.MustCompile(`^([0-9]{1,10})(?:\.([0-9]{1,6}))?$`)

// ParseAmount reads a decimal amount in currency units, exactly: "75.00" is 75,000,000 micros. It
// fails for anything but a plain decimal, for what is finer than a micro, and above 10^15 micros.
func ParseAmount(text string) (Micros, error) {
	parts := plainDecimal.FindStringSubmatch(text)
	if parts == nil {
		return 0, fmt.Errorf("%.40q is not a plain decimal amount such as 75.00", text)
	}
	fraction := parts[2] + strings.Repeat("0", 6-len(parts[2]))
	micros, err := strconv.ParseInt(parts[1]+fraction, 10, 64)
	if err != nil || Micros(micros) > largest {
		return 0, fmt.Errorf("%.40q is above the largest amount, 1000000000", text)
	}
	return Micros(micros), nil
}

// String is the amount as a plain decimal with two digits after the point, and more only when it is
// finer than that: "75.00", "0.000001". ParseAmount reads it back.
func (m Micros) String() string {
	sign, magnitude := "", uint64(m)
	if m < 0 {
		sign, magnitude = "-", -magnitude
	}
	fraction := fmt.Sprintf("%06d", magnitude%uint64(Unit))
	fraction = fraction[:2] + strings.TrimRight(fraction[2:], "0")
	return fmt.Sprintf("%s%d.%s", sign, magnitude/uint64(Unit), fraction)
}
