#include "tests/fuzz/vocabulary.hh"

#include <algorithm>
#include <cstring>
#include <string>

#include "dataplane/base/checksum.hh"

namespace sluice::fuzz {

using namespace sluice::test;

std::uint8_t flags_of(Tape& tape) {
    static constexpr std::uint8_t kUsual[] = {kSyn, kAck, kAck | kPsh, kAck | kFin, kRst, kRst | kAck, kSyn | kAck};
    return tape.one_in(8) ? tape.byte() : tape.of(kUsual);
}

std::uint8_t answer_flags(std::uint8_t heard) noexcept {
    if ((heard & kSyn) != 0) return (heard & kAck) != 0 ? kAck : kSyn | kAck;
    if ((heard & kFin) != 0) return kFin | kAck;
    return kAck | kPsh;
}

void add_options(Tape& tape, PacketBuilder& packet) {
    switch (tape.below(8)) {
        case 1:
            packet.mss(tape.half());
            break;
        case 2: {
            const std::uint8_t scale[] = {3, 3, tape.byte()};
            packet.tcp_option(scale);
            break;
        }
        case 3: {
            static constexpr std::uint8_t kPermitted[] = {4, 2};
            packet.tcp_option(kPermitted);
            break;
        }
        case 4: {
            const std::uint32_t from = tape.of(kBeginnings) + tape.byte();
            const std::pair<std::uint32_t, std::uint32_t> blocks[] = {{from, from + tape.byte()}};
            packet.sack(blocks);
            break;
        }
        case 5:
            packet.tcp_option(tape.bytes(tape.below(40)));
            break;
        default:
            break;
    }
}

void add_headers(Tape& tape, PacketBuilder& packet) {
    for (unsigned i = tape.one_in(4) ? 1 + tape.below(3) : 0; i > 0; --i) {
        switch (tape.below(6)) {
            case 0:
                packet.hop_by_hop(tape.bytes(tape.below(16)));
                break;
            case 1:
                packet.routing(tape.below(5), tape.below(2));
                break;
            case 2:
                packet.fragment(0, false);
                break;
            case 3:
                packet.extension(51, tape.bytes(22));
                break;
            default:
                packet.destination_options(tape.bytes(tape.below(24)));
                if (tape.one_in(8)) packet.extension_length(tape.byte());
                break;
        }
    }
}

std::string speech(Tape& tape, const IpAddress& speaker) {
    const bool v6 = !speaker.is_v4();
    IpAddress said = speaker;
    if (tape.one_in(8)) said.set_word(3, tape.word());
    std::string address = to_text(said);
    const unsigned port = tape.one_in(4) ? tape.half() : 20000U + tape.byte();
    std::string commas = address;
    std::replace(commas.begin(), commas.end(), '.', ',');
    const std::string numbers = std::to_string(port >> 8) + "," + std::to_string(port & 255U);
    std::string line;
    switch (tape.below(10)) {
        case 1:
            line = "PORT " + commas + "," + numbers + "\r\n";
            break;
        case 2:
            line = (v6 != tape.one_in(8) ? "EPRT |2|" : "EPRT |1|") + address + "|" + std::to_string(port) + "|\r\n";
            break;
        case 3:
            line = "227 Entering Passive Mode (" + commas + "," + numbers + ").\r\n";
            break;
        case 4:
            line = "229 Entering Extended Passive Mode (|||" + std::to_string(port) + "|)\r\n";
            break;
        case 5:
            line = "220 ready\r\n331 go on\r\n";
            break;
        case 6: {
            const auto any = tape.bytes(tape.below(40));
            line.assign(any.begin(), any.end());
            break;
        }
        default:
            return line;
    }
    if (tape.one_in(8) && !line.empty()) line = line.substr(0, tape.byte() % line.size());
    if (tape.one_in(12) && !line.empty()) line = line.substr(tape.byte() % line.size());
    if (tape.one_in(12) && !line.empty()) line[tape.byte() % line.size()] ^= static_cast<char>(tape.byte());
    return line;
}

void mend_ip_checksum(Frame& frame) {
    constexpr std::size_t kEther = 14;
    if (frame.size() < kEther + 20 || frame[12] != std::byte{0x08} || frame[13] != std::byte{0x00}) return;
    auto* ip = reinterpret_cast<std::uint8_t*>(frame.data()) + kEther;
    const std::size_t header = (ip[0] & 0xfU) * 4;
    if (header < 20 || frame.size() < kEther + header) return;
    ip[10] = ip[11] = 0;
    const std::uint16_t sum = checksum_of(ip, header);
    std::memcpy(ip + 10, &sum, 2);
}

}  // namespace sluice::fuzz
