// The departments a support ticket can be routed to. The description is what the router compares a
// ticket with: its embedding stands for the department, so it speaks the customers' language.
// The wording was adjusted to the mistakes among the odd-numbered tickets; the labels never were.

export const departments = [
  {
    id: "billing",
    name: "Billing and payments",
    description:
      "Charges, invoices and payments. I was charged twice or too much, my payment was declined, please send an invoice or receipt with the right tax and address, the discount code or gift card did not work, cancel or change my membership subscription, the refund has not reached my bank account.",
  },
  {
    id: "shipping",
    name: "Shipping and delivery",
    description:
      "Parcels on their way. Where is my package, the tracking does not move, the courier came late, never came or left it with somebody else, I want to change the delivery date or address, when will the order be shipped and arrive, customs and import duty, express delivery and pick-up points.",
  },
  {
    id: "returns",
    name: "Returns and exchanges",
    description:
      "I want to return this item, send it back or exchange it. The one you sent is broken, cracked, scratched, used, incomplete or not the one I ordered, the wrong size or colour. It failed under warranty and I want a replacement. How does a return work, and what has become of the one I sent back?",
  },
  {
    id: "technical",
    name: "Technical support",
    description:
      "Devices and the app do not work as they should. It shows an error, beeps, shakes or leaks, does not connect to the wifi, the light blinks, the battery dies, the sensor is wrong, the app or the website fails since the update. Which setting or button is it, how do I reset it, and where is the manual?",
  },
  {
    id: "account",
    name: "Account and privacy",
    description:
      "Logging in and personal data. I can't log in, I forgot my password, the code does not arrive, someone else is using my account, I want to sign out of my devices, change my email address, name or phone number, add a user, delete my account and data, opt out of advertising and newsletters. Is this message a scam?",
  },
  {
    id: "sales",
    name: "Sales and product advice",
    description:
      "Questions before buying. Which product suits me, what are its dimensions and materials, is it in stock, does it fit, is there a discount for larger quantities, can you send me a quote or samples, do you have a showroom.",
  },
  {
    id: "installation",
    name: "Installation and repair visits",
    description:
      "Appointments with a technician or fitter at the customer's home. Move, confirm or cancel the appointment, the technician never came or must come back, the crew assembled or connected it badly, drilled or scratched something, what does the assembly team charge, bring along and take away?",
  },
] as const satisfies readonly Department[];

export interface Department {
  id: string;
  name: string;
  /** A few sentences; what the department handles, in the words in which customers ask for it. */
  description: string;
}

export type DepartmentId = (typeof departments)[number]["id"];
