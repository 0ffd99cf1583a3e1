//! The send queue that every transport has: a bounded line for each class,
//! the most urgent first.

use std::collections::VecDeque;

use model::MessageClass;

use crate::{LinkError, Message};

/// Lines of messages that wait for the transport.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    lines: [VecDeque<Message>; MessageClass::ALL.len()],
}

/// Messages that one class may have waiting; more are refused.
pub(crate) const QUEUE_LEN_MAX: usize = 256;

impl SendQueue {
    /// Puts a message at the end of its class's line.
    pub(crate) fn push(&mut self, message: Message) -> Result<(), LinkError> {
        let class = message.class;
        match self.lines.get_mut(usize::from(class.priority())) {
            Some(line) if line.len() < QUEUE_LEN_MAX => {
                line.push_back(message);
                Ok(())
            }
            _ => Err(LinkError::Full(class)),
        }
    }

    /// Takes the oldest message of the most urgent class.
    pub(crate) fn pop(&mut self) -> Option<Message> {
        self.lines.iter_mut().find_map(VecDeque::pop_front)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(class: MessageClass, tag: u8) -> Message {
        Message {
            source: 1,
            destination: 2,
            class,
            payload: vec![tag],
        }
    }

    #[test]
    fn urgent_overtakes_and_a_full_line_refuses_only_its_own() {
        let mut queue = SendQueue::default();
        for tag in 0..QUEUE_LEN_MAX {
            queue
                .push(message(
                    MessageClass::Usage,
                    u8::try_from(tag % 256).unwrap(),
                ))
                .unwrap();
        }
        assert!(matches!(
            queue.push(message(MessageClass::Usage, 0)),
            Err(LinkError::Full(MessageClass::Usage))
        ));
        queue.push(message(MessageClass::Control, 7)).unwrap();
        assert_eq!(queue.pop().unwrap().class, MessageClass::Control);
        assert_eq!(queue.pop().unwrap().payload, [0]);
    }
}
