#include "control/api/pcap_stream.hh"

#include <algorithm>
#include <type_traits>

#include "control/api/filter_names.hh"

namespace sluice::api {
namespace {

template <class T>
void append_raw(std::string& out, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

std::variant<PacketFilter, std::string> PacketFilter::compile(const std::string& expression,
                                                              std::uint32_t snaplen_bytes) {
    struct Close {
        void operator()(pcap_t* handle) const { pcap_close(handle); }
    };
    if (const auto name = first_host_name(expression))
        return "'" + *name + "' is a name, and names of hosts are not looked up: give the address";
    if (const auto word = first_direction(expression))
        return "'" + *word + "' is not supported: packets of a capture have no direction; give an address instead";
    const std::unique_ptr<pcap_t, Close> handle(pcap_open_dead(DLT_EN10MB, static_cast<int>(snaplen_bytes)));
    if (!handle) return "out of memory";
    auto program = std::make_unique<bpf_program>();
    if (pcap_compile(handle.get(), program.get(), expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0)
        return std::string(pcap_geterr(handle.get()));
    PacketFilter filter;
    filter.program_.reset(program.release());
    return filter;
}

bool PacketFilter::matches(const CapturedPacket& packet) const {
    pcap_pkthdr header{};
    header.caplen = static_cast<bpf_u_int32>(packet.data.size());
    header.len = packet.wire_bytes;
    return pcap_offline_filter(program_.get(), &header, packet.data.data()) != 0;
}

std::string pcap_file_header(std::uint32_t snaplen_bytes) {
    struct ::pcap_file_header header {};
    header.magic = 0xa1b2c3d4;
    header.version_major = PCAP_VERSION_MAJOR;
    header.version_minor = PCAP_VERSION_MINOR;
    header.snaplen = snaplen_bytes;
    header.linktype = DLT_EN10MB;
    std::string out;
    append_raw(out, header);
    return out;
}

void append_pcap_packet(std::string& out, const CapturedPacket& packet) {
    // On disk times are 32 bits wide, unlike in pcap_pkthdr.
    struct {
        std::uint32_t seconds, microseconds, captured_bytes, wire_bytes;
    } const record{static_cast<std::uint32_t>(packet.time_us / 1'000'000),
                   static_cast<std::uint32_t>(packet.time_us % 1'000'000),
                   static_cast<std::uint32_t>(packet.data.size()), packet.wire_bytes};
    append_raw(out, record);
    out.append(reinterpret_cast<const char*>(packet.data.data()), packet.data.size());
}

}  // namespace sluice::api
