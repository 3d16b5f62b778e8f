// sluice's whole data plane in process (tests/support/box.hh), as a box that the judge talks to over a pipe: no
// devices, no waiting, a clock that moves when it is told. Random conversations are judged with it, for which the real
// sluiced on AF_XDP is too slow by an order of magnitude; scenarios use the real one.
//
// One command per line on stdin, and answers on stdout. An answer ends with a line "."; one that begins with "!" says
// what went wrong.
//
//   config BYTES        the next BYTES bytes are YAML without ports
//   flush               no flow is left
//   pass MILLISECONDS
//   send PORT HEX       a frame waits on the wire before PORT
//   run                 the box works until it is at rest        → PORT HEX for each frame that left
//   flows               → lines of `conntrack -L`
//
// Runs inside a Catch2 test, since the box checks its packet balance by assertions.
#include <iostream>
#include <string>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

#include "control/api/conntrack_format.hh"
#include "control/app/flow_lister.hh"
#include "tests/support/box.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr unsigned kMostWaiting = 512;   // frames on the wires; a wire holds 1024
constexpr std::uint16_t kWanMtu = 1400;  // as in rules/base.yaml

Frame from_hex(std::string_view text) {
    const auto digit = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10) & 15U; };
    Frame frame(text.size() / 2);
    for (std::size_t i = 0; i < frame.size(); ++i)
        frame[i] = static_cast<std::byte>(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
    return frame;
}

void append_hex(std::string& out, const Frame& frame) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    for (const std::byte b : frame) {
        out += kDigits[static_cast<unsigned>(b) >> 4];
        out += kDigits[static_cast<unsigned>(b) & 15U];
    }
}

class JudgedBox {
public:
    JudgedBox() : box_({.workers = 1, .flows_per_worker = 16384}), lister_(io_, {}, [this] { return box_.now(); }, {}) {
        box_.port("lan", PortRole::inside, "192.168.1.1/24");
        box_.port("wan", PortRole::outside, "203.0.113.1/24", false, kWanMtu);
        box_.port("lan2", PortRole::inside, "192.168.1.1/24", false, 1500, 2);
        for (const std::string address : {"2001:db8:1::1/64", "fe80::ff:fe00:10/64"}) box_.address("lan", address);
        box_.address("lan2", "2001:db8:1::1/64");
        for (const std::string address : {"2001:db8:2::1/64", "fe80::ff:fe00:11/64"}) box_.address("wan", address);
        for (unsigned host = 10; host <= 30; host += 10) {
            for (const std::string net : {"192.168.1.", "203.0.113."}) {
                const std::string address = net + std::to_string(host);
                box_.route(address + "/32", address);
                if (net == "192.168.1.") box_.route(address + "/32", address + "%lan2");
            }
            for (const std::string net : {"2001:db8:1::", "2001:db8:2::"}) {
                const std::string address = net + std::to_string(host);
                box_.route(address + "/128", address);
                if (net == "2001:db8:1::") box_.route(address + "/128", address + "%lan2");
            }
        }
        box_.route("192.0.2.0/25", "203.0.113.254");
        box_.route("2001:db8:f::/65", "2001:db8:2::fe");
    }

    /// The answer without its end.
    std::string obey(const std::string& command, const std::string& rest) {
        if (command == "config") {
            std::string yaml(std::stoul(rest), '\0');
            std::cin.read(yaml.data(), static_cast<std::streamsize>(yaml.size()));
            box_.configure(yaml);
        } else if (command == "flush") {
            box_.flush();
        } else if (command == "pass") {
            box_.advance(std::stoul(rest));
        } else if (command == "send") {
            const auto space = rest.find(' ');
            box_.queue_frame(rest.substr(0, space), from_hex(std::string_view(rest).substr(space + 1)));
            if (++waiting_ == kMostWaiting) settle();
        } else if (command == "run") {
            return run();
        } else if (command == "flows") {
            return flows();
        } else {
            throw std::invalid_argument("there is no command " + command);
        }
        return {};
    }

private:
    void settle() {
        waiting_ = 0;
        box_.settle();
    }

    std::string run() {
        settle();
        std::string out;
        for (const std::string port : {"lan", "wan", "lan2"})
            for (const Frame& frame : box_.sent(port)) {
                out += port + ' ';
                append_hex(out, frame);
                out += '\n';
            }
        return out;
    }

    std::string flows() {
        std::string out;
        for (const FlowCopy& flow : box_.flows()) {
            // The wheel may be late; for packets such a flow is gone, and Linux lists it no more either.
            if (flow.lifetime.deadline_ms() <= box_.now()) continue;
            out += api::conntrack_line(lister_.record_of(0, flow, box_.now())) + '\n';
        }
        return out;
    }

    Box box_;
    boost::asio::io_context io_;
    FlowLister lister_;
    unsigned waiting_ = 0;
};

}  // namespace

TEST_CASE("a box for the judge") {
    JudgedBox box;
    std::string line;
    while (std::getline(std::cin, line)) {
        const auto space = line.find(' ');
        const std::string command = line.substr(0, space);
        std::string answer;
        try {
            answer = box.obey(command, space == std::string::npos ? std::string() : line.substr(space + 1));
        } catch (const std::exception& error) {
            answer = error.what();
            for (char& c : answer)
                if (c == '\n') c = ' ';
            answer = '!' + answer + '\n';
        }
        if (command == "send" && answer.empty()) continue;  // thousands of them: no answer is good news
        std::cout << answer << ".\n" << std::flush;
    }
    SUCCEED("the judge has gone");
}
