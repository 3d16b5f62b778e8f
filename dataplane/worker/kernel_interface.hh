// The few things that must be asked of, or told to, a kernel interface that a device sits on (AF_XDP, AF_PACKET, pcap):
// DPDK's drivers for those report neither its MTU nor its carrier, and do not set it up.
//
// Control thread. Failure: an absent interface reads as down and MTU 0.
#pragma once

#include <cstdint>
#include <string>

namespace sluice {

bool interface_exists(const std::string& name);
/// IP bytes; 0 when unknown.
std::uint16_t interface_mtu(const std::string& name);
/// Set up and carrier present.
bool interface_running(const std::string& name);
/// False when the kernel refuses (errno says why). An interface that is up already is left alone.
bool set_interface_up(const std::string& name);

}  // namespace sluice
