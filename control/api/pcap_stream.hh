// A BPF filter and the pcap file format, for captures over the API.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>

#include <pcap/pcap.h>

#include "control/api/box.hh"

namespace sluice::api {

/// A compiled filter expression for Ethernet frames; the empty expression takes everything.
class PacketFilter {
public:
    /// The filter, or why there is none. Names of hosts are refused: nothing here waits for a name server. Optimizing a
    /// long expression takes a while, and names of services are read from files: not for the control thread.
    static std::variant<PacketFilter, std::string> compile(const std::string& expression, std::uint32_t snaplen_bytes);
    [[nodiscard]] bool matches(const CapturedPacket& packet) const;

private:
    struct Free {
        void operator()(bpf_program* program) const {
            pcap_freecode(program);
            delete program;
        }
    };
    std::unique_ptr<bpf_program, Free> program_;
};

/// The file header: little endian as this machine, microseconds, Ethernet.
std::string pcap_file_header(std::uint32_t snaplen_bytes);
/// Appends a packet record.
void append_pcap_packet(std::string& out, const CapturedPacket& packet);

}  // namespace sluice::api
