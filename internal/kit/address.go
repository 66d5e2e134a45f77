// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// What a name or an address may be made of. Whatever else a resolver takes, no byte
// that means something to YAML or to a URL is here.
var (
	hostLabel = pattern(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
	zoneName  = pattern(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$`)
	digits    = pattern(`^[0-9]+$`)
)

// host returns a host's name or address as the user wrote it, without the brackets
// that an IPv6 address may have.
func host(text string) (string, error) {
	bare, inBrackets := text, false
	if inside, found := strings.CutPrefix(text, "["); found {
		if bare, inBrackets = strings.CutSuffix(inside, "]"); !inBrackets {
			return "", errors.New("its bracket has no end")
		}
	}
	if address, err := netip.ParseAddr(bare); err == nil {
		if zone := address.Zone(); zone != "" && !zoneName().MatchString(zone) {
			return "", fmt.Errorf("%q is no name of a network interface", zone)
		}
		if inBrackets && address.Is4() {
			return "", errors.New("only an IPv6 address has brackets")
		}
		return bare, nil
	}
	if inBrackets {
		return "", errors.New("there is no IPv6 address in its brackets")
	}
	name := strings.TrimSuffix(bare, ".")
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if !hostLabel().MatchString(label) {
			return "", errors.New("it is neither a host's name nor an address, without port")
		}
	}
	if len(name) > 253 {
		return "", errors.New("a host's name has at most 253 bytes")
	}
	if digits().MatchString(labels[len(labels)-1]) {
		return "", errors.New("it is no address, and no host's name ends with a number")
	}
	return bare, nil
}

// hostPort returns a host and its port as the user wrote them.
func hostPort(text string) (string, error) {
	colon := strings.LastIndexByte(text, ':')
	if colon < 0 {
		return "", errors.New("it lacks a port")
	}
	number, err := strconv.ParseUint(text[colon+1:], 10, 16)
	if err != nil || number == 0 || strconv.FormatUint(number, 10) != text[colon+1:] {
		return "", fmt.Errorf("%q is no port: these are from 1 to 65535", text[colon+1:])
	}
	bare, err := host(text[:colon])
	if err != nil {
		return "", err
	}
	if bare == text[:colon] && strings.Contains(bare, ":") {
		return "", errors.New("an IPv6 address with a port has brackets")
	}
	return net.JoinHostPort(bare, text[colon+1:]), nil
}

// each returns what is made of texts that a flag gave.
func each(flag string, texts []string, of func(string) (string, error)) (made []string, err error) {
	for _, text := range texts {
		one, err := of(text)
		if err != nil {
			return nil, fmt.Errorf("flag --%s: %q: %w", flag, text, err)
		}
		made = append(made, one)
	}
	return made, nil
}
